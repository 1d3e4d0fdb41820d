"""Invocation logs where they are. The stack and the command line share it."""
