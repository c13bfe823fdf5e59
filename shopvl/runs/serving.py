"""A design as a model that MLflow logs, registers and serves."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from shopvl import __version__
from shopvl.catalog.vocabulary import DEFAULT_PRECISION
from shopvl.tracking.registry import save_pyfunc

SCRIPT = Path(__file__).with_name("served.py")
INPUTS = (("product_id", "string?"), ("title", "string?"), ("image", "any?"), ("path", "string?"))
OUTPUTS = (
    ("product_id", "string"),
    ("property", "string?"),
    ("value", "string?"),
    ("best_guess", "string?"),
    ("probability", "double?"),
    ("decision", "string?"),
    ("reason", "string?"),
    ("evidence", "[string]"),
    ("conflict", "boolean?"),
    ("alternatives", "[string]"),
    ("model", "string?"),
    ("reject", "string?"),
)


def save_served(design: Path, target: Path) -> Path:
    """The design folder as an MLflow model in `target`, with signature and an example of a request."""
    example = {"product_id": "example-1", "title": "Blue cotton shirt", "image": _picture()}
    return save_pyfunc(
        target,
        SCRIPT,
        {"design": design},
        inputs=INPUTS,
        outputs=OUTPUTS,
        params={"precision": DEFAULT_PRECISION},
        example=[example],
        requirements=[f"shopvl[track]=={__version__}"],
    )


def _picture() -> bytes:
    png = io.BytesIO()
    Image.new("RGB", (64, 64), (40, 70, 160)).save(png, "PNG")
    return png.getvalue()
