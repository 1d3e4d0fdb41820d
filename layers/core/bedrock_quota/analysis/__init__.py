"""Answers from the usage of quota pools: verdicts, advice, and what would happen if something changed. No I/O."""
