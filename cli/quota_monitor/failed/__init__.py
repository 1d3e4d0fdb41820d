"""`quota-monitor failed`: list failed deliveries and replay them."""
