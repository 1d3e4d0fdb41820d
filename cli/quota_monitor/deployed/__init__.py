"""Usage from a deployed stack: its metrics and metric lines."""
