"""Every kind of table gives the same products; a file in the folder of formats adds one."""

import json
from pathlib import Path

import polars as pl
import pytest

from shopvl.catalog import formats
from shopvl.catalog.formats.base import Source
from shopvl.catalog.readers import FORMATS, TABLE_SUFFIXES, WANTED, open_catalog, table_source
from shopvl.discovery import classes, module_names
from shopvl.errors import CatalogError

ROWS = [
    {"product_id": "a", "title": "Red dress", "image": "a.jpg", "colour": "Red"},
    {"product_id": "b", "title": "小黑裙, lang", "image": "b.jpg", "colour": "Black"},
]


@pytest.mark.parametrize("suffix", TABLE_SUFFIXES)
def test_each_kind_gives_the_same_products(suffix: str, tmp_path: Path) -> None:
    path, frame = tmp_path / f"shop{suffix}", pl.DataFrame(ROWS)
    if suffix == ".parquet":
        frame.write_parquet(path)
    elif suffix in (".jsonl", ".ndjson"):
        path.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS), "utf-8")
    else:
        frame.write_csv(path, separator="\t" if suffix == ".tsv" else ",")
    catalog = open_catalog(path)
    assert catalog.count() == 2
    assert catalog.root == tmp_path
    got = pl.concat(catalog.batches(1))
    assert got["title"].to_list() == ["Red dress", "小黑裙, lang"]
    assert [pairs[0]["value"] for pairs in got["attributes"]] == ["Red", "Black"]
    assert catalog.source.rows() in (None, 2)
    assert len(catalog.digest()) == 64


def test_what_is_refused_says_what_to_do(tmp_path: Path) -> None:
    for kind in FORMATS:
        for suffix, advice in kind.refused.items():
            (tmp_path / f"shop{suffix}").write_text("x")
            with pytest.raises(CatalogError) as told:
                table_source(tmp_path / f"shop{suffix}")
            assert str(told.value).endswith(advice)
    (tmp_path / "shop.doc").write_text("x")
    with pytest.raises(CatalogError, match=r"ends in \.doc; wanted: a \.csv, .*\.parquet.* table"):
        table_source(tmp_path / "shop.doc")
    assert WANTED.endswith("table, a folder holding one, or a folder of pictures")


def test_no_two_kinds_claim_one_suffix() -> None:
    every = [suffix for kind in FORMATS for suffix in (*kind.suffixes, *kind.refused)]
    assert len(every) == len(set(every))


ONE_MORE = """
from dataclasses import dataclass
from shopvl.catalog.formats.base import Source, record_chunks

@dataclass(frozen=True)
class TitleList(Source):
    suffixes = (".titles",)

    def names(self):
        return ["product_id", "title", "image"]

    def chunks(self, rows, wanted):
        lines = self.path.read_text("utf-8").splitlines()
        records = (({"product_id": str(n), "title": line, "image": f"{n}.jpg"}, None) for n, line in enumerate(lines))
        return record_chunks(records, rows)
"""


def test_a_file_in_the_folder_adds_a_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "titles.py").write_text(ONE_MORE)
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(tmp_path / "more")])
    assert "titles" in module_names(formats)
    (found,) = set(classes(formats, Source)) - set(FORMATS)
    (tmp_path / "shop.titles").write_text("one\ntwo\n")
    (chunk,) = found(tmp_path / "shop.titles").chunks(10, ["title"])
    assert (found.suffixes, chunk.values("title")) == ((".titles",), ["one", "two"])
