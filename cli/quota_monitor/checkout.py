"""The checkout this command line belongs to: it builds, deploys and shows this very tree."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The folder with template.yaml in it."""
