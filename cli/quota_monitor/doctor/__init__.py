"""`quota-monitor doctor`: collect what a stack looks like, check it, and test the alarms."""
