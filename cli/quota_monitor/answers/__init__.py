"""Answers about quota pools in words, tables and files. `analyze`, `report` and `demo` print the same."""
