"""A classifier of products with scikit-learn's interface: labels of your own, over a model's vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from shopvl.errors import CatalogError
from shopvl.loaded import LoadedModel, load
from shopvl.paths import SHIPPED


class ProductClassifier(ClassifierMixin, BaseEstimator):
    """Logistic regression on the vectors of pictures and titles; the model itself is not trained.

    `X` are products: a polars or pandas frame, a list of records (`title`, `image`), a list of titles; or a numeric
    matrix of vectors, to be used as they are. An input that a product lacks has a vector of zeros. For more than a few
    thousand products, or to answer with a promised precision, `shopvl.load().adapt` learns more.

    >>> shirts = ["Red cotton shirt", "Blue linen shirt", "Checked shirt"]
    >>> shoes = ["Leather shoes", "Running shoes", "Black shoes"]
    >>> classifier = ProductClassifier().fit(shirts + shoes, ["shirt"] * 3 + ["shoe"] * 3)
    >>> classifier.predict(["White shirt", "White shoes"]).tolist()
    ['shirt', 'shoe']
    """

    def __init__(self, model: str | Path | None = None, C: float = 1.0, max_iter: int = 1000) -> None:
        self.model = model  # a folder or MLflow name; None: the bundled model
        self.C = C
        self.max_iter = max_iter

    def fit(self, X: Any, y: Any) -> Self:
        """Raises CatalogError for products without anything to read."""
        features, y = validate_data(self, self._features(X), y)
        check_classification_targets(y)
        self.classifier_ = LogisticRegression(C=self.C, max_iter=self.max_iter).fit(features, y)
        self.classes_, self.n_iter_ = self.classifier_.classes_, self.classifier_.n_iter_
        return self

    def predict(self, X: Any) -> np.ndarray:
        """(N,): the likeliest label of each product."""
        best_N = self.predict_proba(X).argmax(1)
        labels: np.ndarray = self.classes_[best_N]
        return labels

    def predict_proba(self, X: Any) -> np.ndarray:
        """(N, K): the probability of each of `classes_`."""
        check_is_fitted(self)
        shares: np.ndarray = self.classifier_.predict_proba(validate_data(self, self._features(X), reset=False))
        return shares

    def _features(self, X: Any) -> Any:
        """(N, 2 D): picture's and title's vectors side by side; what is no list of products as it is."""
        records = _records(X)
        if records is None:
            return X
        table = _loaded(self.model or SHIPPED).embed_table(records)
        if len(table.rejects):
            number, reason = table.rejects.row(0)
            raise CatalogError(f"product {number} of {len(records)} has no vector: {reason}")
        known = {name: [row for row in table.vectors[name].to_list() if row] for name in ("image", "title")}
        width = len(next(rows[0] for rows in known.values() if rows))
        features_N2D = np.zeros((len(records), 2 * width), dtype=np.float32)
        for row in table.vectors.iter_rows(named=True):
            for place, name in enumerate(known):
                if row[name] is not None:
                    features_N2D[int(row["product_id"]), place * width : (place + 1) * width] = row[name]
        return features_N2D


@lru_cache(maxsize=4)
def _loaded(place: str | Path) -> LoadedModel:
    return load(place)


def _records(X: Any) -> list[dict[str, Any]] | None:
    """Products as records, called by their numbers; None for a matrix of numbers."""
    if hasattr(X, "columns") and "title" in X.columns:
        rows = X.to_dicts() if hasattr(X, "to_dicts") else X.to_dict("records")
    elif isinstance(X, Sequence | np.ndarray) and len(X) and isinstance(X[0], str | Mapping):
        rows = [{"title": row} if isinstance(row, str) else row for row in X]
    else:
        return None
    named = [{name: None if value != value else value for name, value in row.items()} for row in rows]  # NaN
    return [{"product_id": str(n), "title": row.get("title"), "image": row.get("image")} for n, row in enumerate(named)]
