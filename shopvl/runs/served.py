"""The model that MLflow serves: rows with pictures and titles in, tags out, the same as `shopvl tag` gives.

MLflow keeps a copy of this file with the model and runs it to load one ("models from code"), so nothing is pickled.
"""

from typing import Any

import pandas as pd
import polars as pl
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from shopvl.catalog.schema import FRAME_SCHEMA
from shopvl.data.request_rows import picture_root, rejected, row_of
from shopvl.data.rows import RejectedRow
from shopvl.design.design import Design
from shopvl.design.in_use import in_use
from shopvl.inference.tag_rows import tags_of

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
        rows = [row_of(number, columns) for number, columns in enumerate(model_input.to_dict("records"))]
        frame = pl.DataFrame([row for row in rows if isinstance(row, dict)], schema=FRAME_SCHEMA)
        answers = [_rejected(row) for row in rows if isinstance(row, RejectedRow)]
        precision = float((params or {}).get("precision", 0.95))
        model = self.design.name
        frames = [frame] if len(frame) else []
        for item in tags_of(self.design, frames, picture_root(), precision=precision):
            if isinstance(item, RejectedRow):
                answers.append(_rejected(item))
                continue
            for tag in item:
                others = [f"{other['value']} ({other['probability']:.3f})" for other in tag["alternatives"]]
                answers.append({**tag, "alternatives": others, "model": model, "reject": None})
        return pd.DataFrame(answers, columns=list(EMPTY), dtype=object)  # or None would become a number, NaN


def _rejected(reject: RejectedRow) -> dict[str, Any]:
    return {**EMPTY, "product_id": reject.product_id, "reject": rejected(reject.product_id, reject.reason).reason}


set_model(Tagger())
