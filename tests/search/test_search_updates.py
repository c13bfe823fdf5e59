"""Changes of an index: by product, broken off at any moment, by two at once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shopvl.errors import ShopvlError
from shopvl.files import exclusive_lock
from shopvl.search import SearchIndex, folder, update, update_index

ROOT = Path(__file__).parents[2]


def test_changes_by_id(own: Path, tuned, some_rows) -> None:
    before = SearchIndex(own, tuned)
    ids = before.products["product_id"].to_list()
    done = update_index(
        tuned, some_rows([4, 5], ["Purple Zeppelin", "New Thing"], [ids[4], "new"]), own, delete=[ids[9], "new"]
    )
    assert (done.indexed, done.replaced, done.deleted, done.rejected, done.unknown) == (2, 1, 1, 0, ())
    after = SearchIndex(own, tuned)
    assert len(after) == 60 + 1 - 1
    everything = [hit.product_id for hit in after.search("anything", k=100, by="dense")]
    assert sorted(everything) == sorted([*ids[:9], *ids[10:], "new"])
    assert [hit.product_id for hit in after.search("zeppelin", by="lexical")] == [ids[4]]
    assert len(before.search("anything", k=100, by="dense")) == 60  # one that was open still sees what it opened
    photos = {hit.product_id: hit.photo for hit in after.search("anything", k=100, by="dense")}
    assert photos["new"] == ids[5]  # its photo was there before
    update_index(None, None, own, delete=["new"])
    assert [hit.product_id for hit in SearchIndex(own, tuned).search("zeppelin thing", by="lexical")] == [ids[4]]
    # what is gone already is passed over: a change that was killed can be asked for again
    done = update_index(None, None, own, delete=["nobody", ids[0], "new"])
    assert (done.deleted, done.unknown) == (1, ("new", "nobody"))
    assert SearchIndex(own, tuned).row_of(ids[0]) is None


def test_many_changes_make_the_files_anew_and_keep_every_answer(own: Path, tuned, some_rows) -> None:
    numbers = list(range(30))
    update_index(tuned, some_rows(numbers), own)
    index = SearchIndex(own, tuned)
    assert index.state.deleted_count == 0
    assert len(index.state.segments) == 1
    assert len(index) == 60
    assert len({hit.product_id for hit in index.search("red", k=100, by="dense")}) == 60
    named = index.state.files() | {"config.json", "rejects.parquet", ".lock"}
    assert set(os.listdir(own)) == named


KILLED = """
import sys, time
from pathlib import Path
from shopvl.catalog.readers import open_catalog
from shopvl.design.design import Design
from shopvl.search import update_index
design, catalog = Design.from_pretrained(sys.argv[1]), open_catalog(sys.argv[2])
print("ready", flush=True)
update_index(design, catalog, Path(sys.argv[3]), delete=[sys.argv[4]])
print("done", flush=True)
"""


@pytest.mark.parametrize(
    "after_s", [0.08, *(pytest.param(s, marks=pytest.mark.zoo) for s in (0.0, 0.03, 0.15, 0.25, 0.4))]
)
def test_a_kill_leaves_the_old_index_or_the_new_one(
    own: Path, tuned_folder: Path, tuned, some_rows, after_s: float
) -> None:
    old = SearchIndex(own, tuned)
    ids = old.products["product_id"].to_list()
    catalog = some_rows([1, 2], ["Purple Zeppelin", "Green Zeppelin"], ["z1", "z2"])
    arguments = [sys.executable, "-c", KILLED, str(tuned_folder), str(catalog.path), str(own), ids[7]]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)
    index = SearchIndex(own, tuned)
    found = {hit.product_id for hit in index.search("anything", k=100, by="dense")}
    worded = {hit.product_id for hit in index.search("zeppelin", by="lexical")}
    assert (found, worded) in ((set(ids), set()), ({*ids, "z1", "z2"} - {ids[7]}, {"z1", "z2"}))
    left = [ids[7]] if ids[7] in found else []
    update_index(tuned, catalog, own, delete=left)  # what the killed one left behind does no harm
    again = SearchIndex(own, tuned)
    assert {hit.product_id for hit in again.search("anything", k=100, by="dense")} == {*ids, "z1", "z2"} - {ids[7]}
    assert sorted(hit.product_id for hit in again.search("zeppelin", by="lexical")) == ["z1", "z2"]


@pytest.mark.parametrize("step", ["Writer.close", "write_deleted", "Lexical.change", "publish"])
def test_a_change_that_stops_at_any_step_changes_nothing(own: Path, tuned, some_rows, monkeypatch, step: str) -> None:
    class PowerCutError(Exception):
        pass

    def cut(*_: object, **__: object) -> None:
        raise PowerCutError

    place = {"Writer": update.Writer, "Lexical": update.Lexical}.get(step.split(".")[0], update)
    whole = getattr(place, step.split(".")[-1])

    def after(*given: object, **named: object) -> None:  # the step is done, the next one is not
        whole(*given, **named)
        raise PowerCutError

    before = [hit.product_id for hit in SearchIndex(own, tuned).search("anything", k=100, by="dense")]
    catalog = some_rows([1], ["Purple Zeppelin"], ["z1"])
    with monkeypatch.context() as patched:
        patched.setattr(place, step.split(".")[-1], cut if step == "publish" else after)
        with pytest.raises(PowerCutError):
            update_index(tuned, catalog, own, delete=[before[0]])
    index = SearchIndex(own, tuned)
    assert [hit.product_id for hit in index.search("anything", k=100, by="dense")] == before
    assert index.search("zeppelin", by="lexical").hits == []
    update_index(tuned, catalog, own)
    assert [hit.product_id for hit in SearchIndex(own, tuned).search("zeppelin", by="lexical")] == ["z1"]
    state = folder.read_state(own)
    assert set(os.listdir(own)) == state.files() | {"config.json", "rejects.parquet", ".lock"}


def test_two_writers_do_not_meet(own: Path, tuned) -> None:
    with exclusive_lock(own, "here"), pytest.raises(ShopvlError, match="another process is changing the index"):
        update_index(None, None, own, delete=["a"])
