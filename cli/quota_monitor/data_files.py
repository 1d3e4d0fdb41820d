"""Data files that commands need. A checkout has them in its folders, and an installed package carries copies."""

from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[2]
_COPIES = Path(__file__).resolve().parent / "data"
_ROOT = _CHECKOUT if (_CHECKOUT / "template.yaml").is_file() else _COPIES

PRICES = Path(__file__).resolve().with_name("prices.toml")
TEMPLATE = _ROOT / "template.yaml"
MODELS = _ROOT / "registry" / "models"
