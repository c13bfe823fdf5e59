from pathlib import Path

import numpy as np
import polars as pl
import pytest

from shopvl.catalog.readers import open_catalog
from shopvl.errors import DesignError
from shopvl.inference.embed import embed
from shopvl.recipes import find


def test_vectors_are_unit_length_and_null_where_there_is_nothing(tuned, toy_table: Path, tmp_path: Path) -> None:
    rows = pl.read_parquet(toy_table).head(6).to_dicts()
    rows[1]["title"] = None
    rows[2]["image"] = None
    rows[3]["image"] = {"bytes": b"no picture", "path": None}
    pl.DataFrame(rows, schema=pl.read_parquet_schema(toy_table)).write_parquet(tmp_path / "shop.parquet")
    assert embed(tuned, open_catalog(tmp_path / "shop.parquet"), tmp_path / "out") == (5, 1)
    found = {row["product_id"]: row for row in pl.read_parquet(tmp_path / "out" / "embeddings.parquet").to_dicts()}
    assert found[rows[1]["product_id"]]["title"] is None
    assert found[rows[2]["product_id"]]["image"] is None
    assert pl.read_parquet(tmp_path / "out" / "rejects.parquet")["product_id"].to_list() == [rows[3]["product_id"]]
    for row in found.values():
        for name in ("image", "title"):
            assert row[name] is None or np.linalg.norm(row[name]) == pytest.approx(1, abs=1e-5)


def test_a_design_without_towers_says_so(make_design, toy_catalog, tmp_path: Path) -> None:
    with pytest.raises(DesignError, match="vilt has no space in which"):
        embed(make_design(find("vilt", "tiny")), toy_catalog, tmp_path)
