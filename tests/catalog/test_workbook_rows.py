"""What spreadsheets save comes back: every row, with its cells as text."""

import openpyxl
import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from shopvl.catalog.readers import open_catalog

# No control characters, which openpyxl refuses; nothing that it takes for a formula or a fault of one
text = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12).filter(
    lambda s: s[:1] not in "=#"
)
row = st.tuples(
    st.integers(1, 10**14),
    text.map(lambda s: f"t{s}t"),
    st.one_of(st.none(), st.booleans(), st.floats(0, 1e6, width=32), text),
)


@settings(max_examples=1, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(rows=st.lists(row, min_size=20, max_size=60))
def test_what_openpyxl_writes_comes_back(tmp_path_factory, rows):
    file = tmp_path_factory.mktemp("w") / "t.xlsx"
    book = openpyxl.Workbook()
    book.active.append(("product_id", "title", "note"))
    for line in rows:
        book.active.append(line)
    book.save(file)
    frame = pl.concat(open_catalog(file, required=()).batches(7))
    assert frame["product_id"].to_list() == [str(number) for number, *_ in rows]
    assert frame["title"].to_list() == [title for _, title, _ in rows]
    for read, (_, _, written) in zip(frame["note"], rows, strict=True):
        if isinstance(written, str):
            assert (read or "") == written.strip()
        elif isinstance(written, float):
            assert float(read) == pytest.approx(written)
