"""Data files that commands need. A checkout has them in its folders, and an installed package carries copies."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
"""Folder of the checkout, if this module belongs to one."""

_COPIES = Path(__file__).resolve().parent / "data"
IS_CHECKOUT = (CHECKOUT / "template.yaml").is_file()
"""True if this module belongs to a checkout."""

_ROOT = CHECKOUT if IS_CHECKOUT else _COPIES

PRICES = Path(__file__).resolve().with_name("prices.toml")
TEMPLATE = _ROOT / "template.yaml"
MODELS = _ROOT / "registry" / "models"
