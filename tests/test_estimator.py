"""The classifier behaves as scikit-learn's own do, and learns from products."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.estimator_checks import check_estimator

from shopvl.errors import CatalogError
from shopvl.estimator import ProductClassifier
from shopvl.synthetic.shelf import write_shop


def test_every_check_of_scikit_learn_passes() -> None:
    """On matrices of vectors, which is what these checks bring."""
    results = check_estimator(ProductClassifier(), on_fail=None, on_skip=None)
    failed = {one["check_name"]: str(one["exception"]) for one in results if one["status"] == "failed"}
    assert failed == {}
    assert sum(one["status"] == "passed" for one in results) > 40


@pytest.mark.zoo
def test_cross_validation_over_drawn_products(tmp_path: Path) -> None:
    table = write_shop(tmp_path, 200, seed=2, size_px=48)
    frame = pl.read_parquet(table)
    kinds = [path[0] for path in frame["category_path"].to_list()]
    common = {kind for kind in kinds if kinds.count(kind) >= 6}
    kept = [number for number, kind in enumerate(kinds) if kind in common]
    products = frame[kept].select("title", pl.col("image").struct.field("bytes").alias("image"))
    labels = np.array([kinds[number] for number in kept])
    scores = cross_val_score(ProductClassifier(), products.to_pandas(), labels, cv=3)
    most = max(np.unique(labels, return_counts=True)[1]) / len(labels)
    assert scores.mean() > most + 0.15, (scores, most)


def test_forms_of_products_and_parameters() -> None:
    titles = ["red shirt", "blue shirt", "white shirt", "leather shoes", "black shoes", "brown shoes"]
    labels = np.array(["shirt"] * 3 + ["shoe"] * 3)
    frame = pl.DataFrame({"title": titles})
    forms = [titles, np.array(titles, dtype=object), [{"title": title} for title in titles], frame, frame.to_pandas()]
    first, *others = [ProductClassifier(C=10).fit(form, labels).predict_proba(form) for form in forms]
    assert first.shape == (6, 2)
    for other in others:
        np.testing.assert_allclose(other, first, atol=1e-6)
    fitted = ProductClassifier(C=10).fit(titles, labels)
    vectors = fitted._features(titles)
    plain = LogisticRegression(C=10, max_iter=1000).fit(vectors, labels)
    np.testing.assert_allclose(fitted.predict_proba(vectors), plain.predict_proba(vectors), atol=1e-6)
    assert clone(fitted.set_params(C=3)).get_params()["C"] == 3
    found = GridSearchCV(ProductClassifier(), {"C": [0.1, 10]}, cv=3).fit(vectors, labels)
    assert set(found.predict(vectors)) == {"shirt", "shoe"}
    with pytest.raises(CatalogError, match="product 1 of 2 has no vector"):
        fitted.predict([{"title": "red shirt"}, {"title": None}])
