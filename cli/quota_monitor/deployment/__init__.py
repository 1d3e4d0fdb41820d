"""`quota-monitor deploy` and `quota-monitor package`: build a checkout and deploy it."""
