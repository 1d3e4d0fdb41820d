"""`quota-monitor analyze --publish`: older records go through the deployed processor, so that the dashboard has them.

The boundary between older records and those of the stack's subscription is fixed with the first run. Each hour is sent
once: a second run leaves out the hours that are done. An hour that was interrupted is sent again as the same
deliveries, and the processor's duplicate detection drops those that it has processed in the last 15 days.
"""
