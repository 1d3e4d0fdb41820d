"""A CloudWatch dashboard, any of an account's, drawn in the browser of this machine.

The body comes from GetDashboard; what CloudWatch's console would evaluate is evaluated here, over nothing but metric
statistics, lists of metrics and log events, which the emulator has:

    metric_math, metric_search, logs_insights   text → tree, or an error that names the place
    math_evaluation, logs_insights              tree and data → values; pure
    body                                        the dashboard's JSON, and what its variables make of it
    drawing                                     a widget → what is to be drawn, over a session
    server                                      serves the page in static/ and its data

What a dashboard uses and this does not know is said on the page, in the widget's place.
"""
