"""The model that MLflow serves: rows with pictures and titles in, tags out, the same as `shopvl tag` gives.

MLflow keeps a copy of this file with the model and runs it to load one ("models from code"), so nothing is pickled.
"""

import base64
import binascii
import os
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from shopvl.catalog.schema import FRAME_SCHEMA
from shopvl.data.rows import RejectedRow
from shopvl.design.design import Design
from shopvl.design.in_use import in_use
from shopvl.inference.tag_rows import tags_of

ROOT = "SHOPVL_IMAGE_ROOT"  # pictures by path are read from below this folder only, and not at all where it is not set
MOST_REASON = 1000  # characters
EMPTY: dict[str, Any] = {
    **dict.fromkeys(("product_id", "property", "value", "best_guess", "probability", "decision", "reason")),
    **{"evidence": [], "conflict": None, "alternatives": [], "model": None, "reject": None},
}


class Tagger(PythonModel):
    """Tags for the rows of a request; a row that cannot be read is one row with its reason in `reject`."""

    def load_context(self, context: Any) -> None:
        """Open the design that came with the model."""
        self.design = in_use(Design.from_pretrained(context.artifacts["design"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """One row per product and property."""
        rows = [_row(number, columns) for number, columns in enumerate(model_input.to_dict("records"))]
        frame = pl.DataFrame([row for row in rows if isinstance(row, dict)], schema=FRAME_SCHEMA)
        answers = [_rejected(row) for row in rows if isinstance(row, RejectedRow)]
        precision = float((params or {}).get("precision", 0.95))
        model = self.design.name
        root = Path(os.environ.get(ROOT, "."))
        for item in tags_of(self.design, [frame] if len(frame) else [], root, precision=precision):
            if isinstance(item, RejectedRow):
                answers.append(_rejected(item))
                continue
            for tag in item:
                others = [f"{other['value']} ({other['probability']:.3f})" for other in tag["alternatives"]]
                answers.append({**tag, "alternatives": others, "model": model, "reject": None})
        return pd.DataFrame(answers, columns=list(EMPTY), dtype=object)  # or None would become a number, NaN


def _row(number: int, columns: dict[str, Any]) -> dict[str, Any] | RejectedRow:
    """A row of the request as a row of a catalog; whatever is wrong with it is a reject of this row alone."""
    present = {name: value for name, value in columns.items() if not _is_missing(value)}
    product_id = _text(present.get("product_id", number))
    try:
        path = present.get("path")
        if path is not None and (fault := _forbidden(str(path))):
            return RejectedRow(product_id, fault)
        title = present.get("title")
        if title is not None and not isinstance(title, str | int | float):
            return RejectedRow(product_id, f"the title is a {type(title).__name__}, a text was wanted")
        image = {"bytes": _picture(present.get("image")), "path": path if path is None else str(path)}
    except ValueError as fault:
        return RejectedRow(product_id, str(fault))
    return {"product_id": product_id, "title": None if title is None else _text(title), "image": image}


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)  # NaN is not itself


def _text(value: Any) -> str:
    """As a text that can be stored: half of a character becomes a question mark."""
    return str(value).encode("utf-8", "replace").decode()


def _picture(value: Any) -> bytes | None:
    """The bytes, which JSON holds as base64. Raises ValueError for what is neither."""
    if value is None or isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError(f"the picture is a {type(value).__name__}, its bytes in base64 were wanted")
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the picture is not base64; send the bytes of its file in base64") from None


def _forbidden(path: str) -> str | None:
    """Why this server does not open that path; None where it does."""
    root = os.environ.get(ROOT)
    if root is None:
        return f"pictures by path are not read here: send the bytes, or set {ROOT} to the folder they are in"
    try:
        inside = "://" not in path and (Path(root) / path).resolve().is_relative_to(Path(root).resolve())
    except (OSError, ValueError):  # a name that no file can have
        inside = False
    return None if inside else f"{_text(path)[:200]!r} is not a file below {ROOT}"


def _rejected(reject: RejectedRow) -> dict[str, Any]:
    return {**EMPTY, "product_id": reject.product_id, "reject": reject.reason[:MOST_REASON]}


set_model(Tagger())
