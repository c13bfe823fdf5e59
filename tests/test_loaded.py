"""A model in three lines of Python says what the command line says."""

from dataclasses import asdict, fields
from pathlib import Path

import pytest
import torch

import shopvl
from shopvl.errors import CatalogError, DesignError, ImageError
from shopvl.inference.decide import DECIDED
from shopvl.inference.tag_rows import tags_of
from shopvl.loaded import LoadedModel, Tag


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return shopvl.load()


def test_one_product_as_a_whole_catalog_is_tagged(model: LoadedModel, toy_catalog, tmp_path: Path) -> None:
    frame = next(iter(toy_catalog.batches())).head(1)
    row = frame.row(0, named=True)
    picture = tmp_path / "product.png"
    picture.write_bytes(row["image"]["bytes"])
    (expected,) = tags_of(model.design, [frame], Path(), precision=0.8)
    assert [field.name for field in fields(Tag)] == DECIDED.names[1:]
    for tags in (
        model.tag(picture, title=row["title"], precision=0.8),
        model.tag(str(picture), row["title"], precision=0.8),
        model.tag(row["image"]["bytes"], row["title"], precision=0.8),
    ):
        assert len(tags) == len(model.design.labels)
        for tag, other in zip(tags, expected, strict=True):
            alternatives = tuple((one["value"], one["probability"]) for one in other["alternatives"])
            same = {**other, "evidence": tuple(other["evidence"]), "alternatives": alternatives}
            assert asdict(tag) == {name: same[name] for name in DECIDED.names[1:]}


def test_threads_are_as_many_as_before(model: LoadedModel) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        shopvl.load().tag(None, "Red tee")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_title_alone(model: LoadedModel) -> None:
    tags = model.tag(None, "Red tee")
    assert tags
    assert {tag.evidence for tag in tags} <= {("title",), ()}


def test_what_cannot_be_read_is_said(model: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"there is no picture nowhere\.jpg"):
        model.tag("nowhere.jpg")
    with pytest.raises(CatalogError, match="nothing can be asked"):
        model.tag(None)
    with pytest.raises(CatalogError, match="not a picture"):
        model.tag(b"no picture")
    with pytest.raises(DesignError, match="not exist"):
        shopvl.load(tmp_path / "nothing")
