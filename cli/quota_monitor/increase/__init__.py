"""`quota-monitor increase`: the evidence for a larger quota."""
