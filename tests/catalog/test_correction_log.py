"""The log of decisions: at once on the disk, safe from crashes and from other processes, and fit for tuning."""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest

from shopvl.catalog.correction_log import CorrectionLog, decided
from shopvl.catalog.corrections import Correction, read_corrections, with_corrections
from shopvl.errors import CatalogError
from shopvl.paths import resource_dir


@pytest.fixture
def log(tmp_path: Path) -> CorrectionLog:
    return CorrectionLog(tmp_path / "corrections.jsonl")


def said(log: CorrectionLog) -> list[tuple[str, str, str | None]]:
    return [(one.product_id, one.property, one.value) for one in log.standing()]


def test_what_was_added_is_read_back_by_another(log: CorrectionLog) -> None:
    one = Correction("ä 1", "colour", None, "Navy", datetime(2026, 5, 1, 12, 0, 0, 5, tzinfo=UTC), by="ann", note="ü")
    log.add(one)
    assert CorrectionLog(log.path).standing() == read_corrections(log.path) == [one]


def test_undo_takes_back_ones_own_last_decision_only(log: CorrectionLog) -> None:
    log.add(decided("a", "colour", "Red", "Blue", "ann"))
    log.add(decided("a", "colour", "Navy", "Blue", "ann"))
    log.add(decided("b", "colour", "Green", "Blue", "ben"))
    taken = log.undo("ann")
    assert [one.value for one in taken] == ["Navy"]
    assert said(log) == [("a", "colour", "Red"), ("b", "colour", "Green")]
    assert CorrectionLog(log.path).undo("ann")[0].value == "Red"  # another process knows it too
    assert log.undo("ann") == []
    assert said(log) == [("b", "colour", "Green")]
    assert log.path.read_bytes().count(b"\n") == 5  # nothing was removed


def test_lines_hold_to_their_schema(log: CorrectionLog) -> None:
    log.add(decided("a", "category", "Home > Mugs", "Home > Cups", "ann"))
    log.add(decided("b", "colour", "Red", None, "ann", at_random=True, note="see the label", batch="1"))
    log.undo("ann")
    schema = json.loads((resource_dir("data_schemas") / "correction_log.schema.json").read_text("utf-8"))
    for line in log.path.read_text("utf-8").splitlines():
        jsonschema.validate(json.loads(line), schema)


def test_a_line_that_was_changed_is_noticed(log: CorrectionLog) -> None:
    for name in ("a", "b", "c"):
        log.add(decided(name, "colour", "Red", "Blue", "ann"))
    whole, kept = log.path.read_bytes(), read_corrections(log.path)
    told: set[str] = set()
    start, end = whole.index(b"\n") + 1, whole.index(b"\n", whole.index(b"\n") + 1)
    for at in range(start, end):
        data = bytearray(whole)
        data[at] ^= 1
        log.path.write_bytes(data)
        try:
            assert read_corrections(log.path) == kept  # the name of the checksum itself was hit
        except CatalogError as refused:
            told.add(re.sub(r".*corrections.jsonl |; .*| of .*", "", str(refused)))
    assert {"is damaged: line 2 is not JSON", "is damaged: line 2 is not as it was written"} <= told


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_line_that_a_crash_cut_short_does_no_harm(log: CorrectionLog, cut: int) -> None:
    log.add(decided("a", "colour", "Red", "Blue", "ann"))
    whole = log.path.read_bytes()
    log.path.write_bytes(whole + whole[:cut])
    again = CorrectionLog(log.path)
    assert said(again) == [("a", "colour", "Red")]
    again.add(decided("b", "colour", "Green", "Blue", "ann"))
    assert said(again) == said(CorrectionLog(log.path)) == [("a", "colour", "Red"), ("b", "colour", "Green")]


@pytest.mark.parametrize("kept_lines", [0, 2, 3, 4])
def test_lines_that_are_lost_whole_are_noticed(log: CorrectionLog, kept_lines: int) -> None:
    for name in ("a", "b", "c", "d", "e"):
        log.add(decided(name, "colour", "Red", "Blue", "ann"))
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(b"".join(lines[5 - kept_lines :]))
    told = r"corrections.jsonl is damaged: it has [\d,]+ bytes and had [\d,]+ when .*; bring it back from a copy, or"
    for use in (
        log.standing,
        lambda: log.undo("ann"),
        lambda: CorrectionLog(log.path),
        lambda: read_corrections(log.path),
    ):
        with pytest.raises(CatalogError, match=told):
            use()
    with pytest.raises(CatalogError, match=told):
        log.add(decided("f", "colour", "Red", "Blue", "ann"))
    log.path.with_name("corrections.jsonl.length").unlink()
    log.add(decided("f", "colour", "Red", "Blue", "ann"))
    assert len(CorrectionLog(log.path).standing()) == kept_lines + 1


def test_a_log_that_is_gone_is_noticed(log: CorrectionLog) -> None:
    log.add(decided("a", "colour", "Red", "Blue", "ann"))
    log.path.unlink()
    with pytest.raises(CatalogError, match="is damaged: it has 0 bytes"):
        CorrectionLog(log.path)


def test_a_write_that_fails_leaves_nothing_and_says_so(log: CorrectionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    log.add(decided("a", "colour", "Red", "Blue", "ann"))
    before = log.path.read_bytes()
    written = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, text: written(descriptor, text[:9]))
    with pytest.raises(CatalogError, match=r"could not be saved to .*; it was not taken"):
        log.add(decided("b", "colour", "Red", "Blue", "ann"))
    monkeypatch.undo()
    assert log.path.read_bytes() == before


WRITER = """
import sys
from pathlib import Path
from shopvl.catalog.correction_log import CorrectionLog, decided
log = CorrectionLog(Path(sys.argv[1]))
for number in range(50):
    log.add(decided(f"{sys.argv[2]}-{number}", "colour", "Red" * 200, "Blue", sys.argv[2]))
    if number % 10 == 9:
        log.undo(sys.argv[2])
"""


def test_processes_that_write_at_once_lose_nothing(log: CorrectionLog) -> None:
    started = [subprocess.Popen([sys.executable, "-c", WRITER, str(log.path), name]) for name in "ab"]
    assert [one.wait(60) for one in started] == [0, 0]
    told = {(product, value) for product, _, value in said(log)}
    wanted = {(f"{name}-{n}", "Red" * 200) for name in "ab" for n in range(50) if n % 10 != 9}
    assert told == wanted


def test_a_catalog_takes_the_log_as_corrections(log: CorrectionLog, tmp_path: Path) -> None:
    from shopvl.catalog.readers import open_catalog

    table = tmp_path / "shop.csv"
    table.write_text("product_id,title,image,attributes\na,Shirt,a.jpg,colour: Red\nb,Hat,b.jpg,colour: Red\n")
    log.add(decided("a", "colour", "Navy", "Red", "ann"))
    log.add(decided("b", "colour", "Navy", "Red", "ann"))
    log.undo("ann")
    laid = with_corrections(open_catalog(table), log.path)
    assert [row[0]["value"] for row in next(laid.batches())["attributes"].to_list()] == ["Navy", "Red"]


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"decisions are kept as .jsonl, a.parquet is not"):
        CorrectionLog(tmp_path / "a.parquet")
    with pytest.raises(CatalogError, match=r"cannot be written to .*; name another file"):
        CorrectionLog(Path("/proc/nowhere/corrections.jsonl"))
    (tmp_path / "other.jsonl").write_text('{"product_id": "a"}\n')
    with pytest.raises(CatalogError, match=r"line 1 of .* is not a decision"):
        read_corrections(tmp_path / "other.jsonl")
    with pytest.raises(CatalogError, match="cannot be read as corrections"):
        read_corrections(tmp_path / "none.jsonl")
