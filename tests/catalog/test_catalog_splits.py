"""Splits by title: stable, spread as asked, twins together."""

from collections import Counter

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopvl.catalog.images import image_bytes
from shopvl.catalog.readers import open_catalog
from shopvl.catalog.splits import assign_splits, split_of
from shopvl.errors import CatalogError


def test_a_title_keeps_its_split_for_ever():
    # written down once: a model's test set must not move between versions
    assert [split_of(f"title {n}") for n in range(12)] == PINNED
    assert {split_of("title", seed=seed) for seed in range(50)} == {"train", "val", "test"}


PINNED = ["val", "train", "test", "test", "train", "train", "test", "train", "train", "train", "train", "train"]


@given(st.text(), st.integers(0, 3))
def test_spelling_makes_no_difference(title, seed):
    wanted = split_of(title, seed=seed)
    assert wanted in ("train", "val", "test")
    assert split_of(f"  {title}\n", seed=seed) == wanted
    assert split_of(title.replace(" ", "\u3000 "), seed=seed) == wanted
    assert split_of(title.casefold(), seed=seed) == wanted


def test_shares_are_met():
    counts = Counter(split_of(f"title {n}", (("a", 0.5), ("b", 0.2), ("c", 0.3), ("d", 0.0))) for n in range(20_000))
    assert counts.keys() == {"a", "b", "c"}
    for name, share in (("a", 0.5), ("b", 0.2), ("c", 0.3)):
        assert abs(counts[name] / 20_000 - share) < 0.015
    with pytest.raises(CatalogError, match=r"the shares are a 0.5, b 0.6; none below 0 and a sum of 1 were wanted"):
        split_of("x", (("a", 0.5), ("b", 0.6)))


def test_a_catalog_gets_its_splits(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "p.jpg").write_bytes(b"picture")
    lines = [f"{n},Title {n // 2},{'p.jpg' if n else ''},{n}.5" for n in range(3000)]
    (tmp_path / "in" / "t.csv").write_text(
        "id,title,image,price\n" + "\n".join(lines) + "\n3000,,https://e.org/a.jpg,1\nbad\n"
    )
    catalog = open_catalog(tmp_path / "in")
    counts = assign_splits(catalog, tmp_path / "out" / "deep" / "t.parquet")
    assert sum(counts.values()) == 3002
    written = open_catalog(tmp_path / "out" / "deep" / "t.parquet")
    frame = pl.concat(written.batches())
    before = pl.concat(catalog.batches())
    assert frame.drop("split", "image").equals(before.drop("split", "image"))
    assert Counter(frame["split"]) == counts
    assert frame.drop_nulls("title").group_by("title").agg(pl.col("split").n_unique())["split"].max() == 1
    assert [split_of(title) for title in frame["title"][:3000]] == frame["split"][:3000].to_list()
    assert frame["image"][0] is None
    assert frame["image"][1] == {"bytes": None, "path": "../../in/p.jpg"}
    assert image_bytes(frame["image"][1], written.root) == b"picture"
    assert frame["image"][3000]["path"] == "https://e.org/a.jpg"
    assert open_catalog(written.path, split="val").count() == counts["val"]
    assert not list(tmp_path.rglob("*.part"))


def test_nothing_is_left_behind_when_it_fails(tmp_path):
    (tmp_path / "t.csv").write_text("id,title,image\n")
    with pytest.raises(CatalogError, match="has no rows, so there is nothing to split"):
        assign_splits(open_catalog(tmp_path / "t.csv"), tmp_path / "o.parquet")
    (tmp_path / "t.csv").write_text("id,title,image\n1,a,b\n")
    with pytest.raises(CatalogError, match="is the catalog itself"):
        assign_splits(open_catalog(tmp_path / "t.csv"), tmp_path / "t.csv")
    assert [file.name for file in tmp_path.iterdir()] == ["t.csv"]
