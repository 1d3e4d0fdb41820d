"""Models, quota names and overrides: everything known about each foundation model."""
