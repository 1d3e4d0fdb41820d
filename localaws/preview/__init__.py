"""Draw any CloudWatch dashboard of the emulated account in a browser on this machine.

The body comes from GetDashboard. The preview evaluates what CloudWatch's console would evaluate. It needs only metric
statistics, lists of metrics and log events, which the emulator has:

    metric_math, metric_search, metrics_insights, logs_insights   parse text, or raise an error that names the place
    math_evaluation, log_evaluation                               evaluate a parsed expression over data
    body, properties                                              read the dashboard's JSON and apply its variables
    drawing                                                       works out what a widget shows
    server                                                        serves the page in static/ and its data

The page names everything that a dashboard uses and the preview does not support.
"""
