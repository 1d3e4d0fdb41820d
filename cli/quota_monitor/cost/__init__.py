"""`quota-monitor cost`: the monthly cost of the monitor."""
