"""Which inputs a model knows: fits against other libraries, and a drawn shop against noise and other goods."""

import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from scipy.sparse import csr_matrix
from scipy.spatial.distance import mahalanobis
from sklearn.linear_model import LogisticRegression

from shopvl.batch import MODALITIES
from shopvl.catalog.readers import open_catalog
from shopvl.catalog.vocabulary import FAMILIAR_FROM, NO_CATEGORY
from shopvl.design.design import Design
from shopvl.inference.encode import Encoded, encode
from shopvl.inference.familiarity import (
    PENALTY,
    calibrate_familiarity,
    class_distance,
    fit_familiarity,
    logistic_regression,
    outlier_classifier,
)
from shopvl.inference.tag_rows import HeadAnswers
from shopvl.synthetic import write_shop
from shopvl.text.grams import gram_rows

OTHER = [
    "drill",
    "hammer",
    "battery",
    "kettle",
    "ladder",
    "toaster",
    "router",
    "cable",
    "monitor",
    "printer",
    "milk",
    "bread",
    "rice",
    "tyre",
    "lawn",
]


def test_distances_are_those_of_means_and_shared_covariance() -> None:
    rng = np.random.default_rng(0)
    class_N = rng.integers(-1, 3, 200)
    rows_ND = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6)) + 3 * class_N[:, None]
    projection_DR, means_CR = class_distance(rows_ND, class_N, 0.3)
    means = [rows_ND[class_N == number].mean(0) for number in range(3)]
    covariance, count = np.zeros((6, 6)), 0
    for row, number in zip(rows_ND, class_N, strict=True):
        if number >= 0:
            covariance += np.outer(row - means[number], row - means[number])
            count += 1
    covariance /= count
    inverse = np.linalg.inv(covariance + 0.3 * np.trace(covariance) / 6 * np.eye(6))
    for row in rows_ND[:20]:
        right = [mahalanobis(row, mean, inverse) for mean in means]
        np.testing.assert_allclose(np.linalg.norm(row @ projection_DR - means_CR, axis=1), right, rtol=1e-6)


def drawn_rows(count: int = 300) -> tuple[np.ndarray, csr_matrix, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    outlier_N = rng.random(count) < 0.3
    dense_NF = (rng.normal(size=(count, 5)) + outlier_N[:, None] * 0.7).astype(np.float32)
    grams_NG = csr_matrix(rng.random((count, 40)) * (rng.random((count, 40)) < 0.1 + 0.1 * outlier_N[:, None]))
    return dense_NF, grams_NG, outlier_N, rng.uniform(0.5, 2, count)


def test_the_classifier_is_a_logistic_regression() -> None:
    dense_NF, grams_NG, outlier_N, weight_N = drawn_rows()
    found = logistic_regression(dense_NF, grams_NG, outlier_N, weight_N)
    both = np.hstack([dense_NF, grams_NG.toarray()])
    right = LogisticRegression(C=1 / PENALTY, tol=1e-8, max_iter=5000).fit(both, outlier_N, sample_weight=weight_N)
    np.testing.assert_allclose(found, [*right.coef_[0], *right.intercept_], atol=0.02)


def test_known_rows_that_look_like_outliers_count_more() -> None:
    rng = np.random.default_rng(2)
    outlier_N = np.arange(2000) < 400
    small_N = np.arange(2000) >= 1960  # a small group of known rows, near the outliers in one direction
    rows_NF = rng.normal(size=(2000, 4)).astype(np.float32)
    rows_NF[outlier_N | small_N, 0] += 4
    rows_NF[small_N, 1] += 1.5
    weights_F, _ = outlier_classifier(rows_NF, csr_matrix((2000, 0)), outlier_N)
    balanced = LogisticRegression(class_weight="balanced").fit(rows_NF, outlier_N).coef_[0]
    assert -weights_F[1] / weights_F[0] > 1.5 * -balanced[1] / balanced[0]


def picture(seed: int) -> bytes:
    """Coloured noise, as no drawn product looks."""
    kept = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (48, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(kept, "PNG")
    return kept.getvalue()


def table(path: Path, seed: int, products: int, others: int) -> Path:
    """A drawn shop with rows of other goods: some have only a picture or only a title."""
    shop = pl.read_parquet(write_shop(path / f"shop{seed}", products, seed=seed, size_px=48))
    rng = np.random.default_rng(seed)
    rows = [
        {
            "product_id": f"other-{seed}-{number}",
            "title": " ".join(rng.choice(OTHER, 3)) if number % 3 else None,
            "image": {"bytes": picture(seed * 1000 + number), "path": None} if number % 3 < 2 else None,
            "category_path": list(NO_CATEGORY),
        }
        for number in range(others)
    ]
    whole = shop.select("product_id", "title", "image", "category_path")
    if rows:
        whole = pl.concat([whole, pl.DataFrame(rows, schema=whole.schema)])
    whole.write_parquet(path / f"mixed{seed}.parquet")
    return path / f"mixed{seed}.parquet"


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tables")
    made = {
        "learned": table(folder, 1, 130, 60),
        "held out": table(folder, 2, 130, 15),
        "asked": table(folder, 3, 30, 30),
        "alone": folder / "alone.parquet",
    }
    shop = pl.read_parquet(made["learned"]).filter(pl.col("category_path") != list(NO_CATEGORY))
    shop.write_parquet(made["alone"])
    return made


def read(design: Design, path: Path) -> dict[str, dict[str, list[float]]]:
    """Kind of row -> input -> its p-values, as tags see them."""
    found: dict[str, dict[str, list[float]]] = {kind: {"image": [], "title": []} for kind in ("shop", "other")}
    catalog = open_catalog(path)
    for item in encode(design, catalog.batches(), catalog.root, MODALITIES, HeadAnswers(design).read):
        assert isinstance(item, Encoded)
        for name in item.inputs:
            for row, share in zip(item.rows, item.values[f"familiarity/{name}"], strict=True):
                found["other" if row["product_id"].startswith("other") else "shop"][name].append(float(share))
    return found


@pytest.mark.parametrize(("kind", "learned"), [("tuned", "learned"), ("prompted", "learned"), ("tuned", "alone")])
def test_a_model_of_a_shop_refuses_what_it_does_not_sell(request, tables, tmp_path: Path, kind, learned) -> None:
    design = request.getfixturevalue(kind)
    fit_familiarity(design, open_catalog(tables[learned]))
    assert all((len(one.outlier_F) > 0) == (learned == "learned") for one in design.familiarity.values())
    calibrate_familiarity(design, open_catalog(tables["held out"]))
    assert {name: int(one.rows) for name, one in design.familiarity.items()} == {"image": 130, "title": 130}
    found = read(design, tables["asked"])
    for name in MODALITIES:
        assert np.mean(np.array(found["shop"][name]) >= FAMILIAR_FROM[name]) >= 0.85
        if learned == "learned":  # a toy's embeddings alone do not tell noise from goods
            assert np.mean(np.array(found["other"][name]) < FAMILIAR_FROM[name]) >= 0.95
    held_out = read(design, tables["held out"])["shop"]
    for name in MODALITIES:  # uniform on the rows that it was compared with
        assert np.mean(np.array(held_out[name]) < FAMILIAR_FROM[name]) <= 0.03
        assert np.mean(held_out[name]) == pytest.approx(0.5, abs=0.03)
    design.save(tmp_path)
    assert read(Design.from_pretrained(tmp_path), tables["asked"]) == found


def test_without_a_gate_every_input_is_familiar(tuned: Design, tables) -> None:
    assert tuned.familiarity == {}
    calibrate_familiarity(tuned, open_catalog(tables["alone"]))
    assert tuned.familiarity == {}
    assert {*read(tuned, tables["asked"])["other"]["title"]} == {1.0}


def test_an_input_that_hardly_any_row_has_gets_no_gate(tuned: Design, tables, tmp_path: Path) -> None:
    frame = pl.read_parquet(tables["learned"])
    frame = frame.with_columns(title=pl.when(pl.int_range(len(frame)) < 5).then("title"))
    frame.write_parquet(tmp_path / "untitled.parquet")
    fit_familiarity(tuned, open_catalog(tmp_path / "untitled.parquet"))
    assert tuned.familiarity.keys() == {"image"}
    calibrate_familiarity(tuned, open_catalog(tmp_path / "untitled.parquet"))
    found = read(tuned, tables["asked"])["other"]
    assert {*found["title"]} == {1.0}
    assert np.mean(np.array(found["image"]) < FAMILIAR_FROM["image"]) > 0.9


def test_grams_are_read_as_when_they_were_fitted() -> None:
    titles = ["red tee", "blue dress", "cordless drill", "drill battery"]
    dense_NF = np.zeros((4, 2), dtype=np.float32)
    _, weights_G = outlier_classifier(dense_NF, gram_rows(titles), np.array([False, False, True, True]))
    assert (gram_rows(titles) @ weights_G).argsort()[2:].tolist() in ([2, 3], [3, 2])
