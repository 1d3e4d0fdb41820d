"""The dashboard's source, and the command that writes it into template.yaml: `python -m dashboard`."""
