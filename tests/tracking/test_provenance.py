"""Every file of figures says where it comes from, in one way."""

import hashlib
import json
import re
import subprocess
from pathlib import Path

import pytest

from shopvl.tracking import machine, provenance
from shopvl.tracking.provenance import STAMP, command, digest, stamp, stamp_line, write_result

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "experiments" / "results"
BENCHES = ROOT / "experiments" / "bench"
FIELDS = {"command", "commit", "dirty", "date", "machine", "versions", "model", "data"}
LATER = "stamped_afterwards"  # figures older than the writer say so; what was not kept of them is null
BUNDLED = "shipped"  # what figures of the bundled model by `shopvl evaluate` are named after


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for words in (
        ("init", "-q"),
        ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"),
    ):
        subprocess.run(("git", *words), cwd=tmp_path, check=True)
    monkeypatch.setattr(machine, "SOURCE", tmp_path)
    return tmp_path


def test_a_stamp_says_what_git_says(checkout: Path) -> None:
    made = stamp("tri-clip-1", [])
    head = subprocess.run(("git", "rev-parse", "HEAD"), cwd=checkout, capture_output=True, text=True, check=True)
    assert made["commit"] == head.stdout.strip()
    assert made["dirty"] is False
    assert made["model"] == "tri-clip-1"
    assert made.keys() == FIELDS
    (checkout / "experiments/results").mkdir(parents=True)
    (checkout / "experiments/results/one.json").write_text("{}")
    assert stamp()["dirty"] is False, "results are no code"
    (checkout / "one.py").write_text("")
    assert stamp()["dirty"] is True


def test_a_stamp_outside_of_a_checkout_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "SOURCE", tmp_path)
    assert stamp()["commit"] is None
    assert "unknown commit" in stamp_line(stamp())


def test_a_digest_is_that_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    assert digest(tmp_path / "a") == hashlib.sha256(b"one").hexdigest()
    whole = digest(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert digest(tmp_path) != whole, "a folder's digest knows the names in it"
    assert stamp(data=[tmp_path / "b"])["data"] == {"b": hashlib.sha256(b"one").hexdigest()}


def test_a_command_names_no_place_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    monkeypatch.setenv("SHOPVL_DATA", str(data))
    bench = str(ROOT / "experiments/bench/race.py")
    words = [bench, "--data", str(data / "one.parquet"), f"--out={ROOT}/experiments/results/race.json", "/tmp/x/model"]
    wanted = "--data $SHOPVL_DATA/one.parquet --out=experiments/results/race.json model"
    assert command(words) == f"python experiments/bench/race.py {wanted}"
    assert command(["/usr/bin/shopvl", "evaluate", str(data)]) == "shopvl evaluate $SHOPVL_DATA"
    assert command([str(ROOT / "shopvl/cli/__main__.py"), "--minutes", "20"]) == "shopvl --minutes 20"
    assert command([bench, "models:/shop@champion", "a b"]).endswith("race.py models:/shop@champion 'a b'")


def test_json_and_table_have_the_same_stamp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance.sys, "argv", ["/usr/bin/shopvl", "evaluate"])
    write_result(tmp_path / "x.json", {"recall": 0.5}, model="m", table="| a |\n|---|\n")
    told = json.loads((tmp_path / "x.json").read_text())
    assert told["recall"] == 0.5
    assert told[STAMP]["command"] == "shopvl evaluate"
    assert (tmp_path / "x.md").read_text() == f"| a |\n|---|\n\n{stamp_line(told[STAMP])}\n"


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_every_result_has_a_stamp_and_the_bench_that_made_it(path: Path) -> None:
    made = json.loads(path.read_text("utf-8"))[STAMP]
    assert FIELDS <= made.keys() <= FIELDS | {LATER}
    assert re.fullmatch("[0-9a-f]{40}", made["commit"])
    assert re.match(r"\d{4}-\d\d-\d\d", made["date"])
    if LATER not in made:
        assert None not in (made["dirty"], made["machine"])
    assert not re.search(r"(?<![\w$.])/(?:tmp|home|work|root)/", made["command"]), "a place of one machine"
    scripts = re.findall(r"(?:experiments/bench|tests)/\w+\.py", made["command"])
    assert all((ROOT / script).is_file() for script in scripts)
    benches = [Path(script).stem for script in scripts]
    compared = re.match(r"shopvl experiments compare (\S+)", made["command"])
    makers = [BUNDLED] if made["command"].startswith("shopvl evaluate ") else [compared[1]] if compared else benches
    assert any(path.stem == maker or path.stem.startswith(f"{maker}_") for maker in makers), "named after its bench"


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.md")), ids=lambda path: path.stem)
def test_every_table_has_the_stamp_of_its_figures(path: Path) -> None:
    made = json.loads(path.with_suffix(".json").read_text("utf-8"))[STAMP]
    assert path.read_text("utf-8").rstrip().endswith(stamp_line(made))


def test_pictures_among_the_results_have_their_figures_beside_them() -> None:
    assert all(path.with_suffix(".json").is_file() for path in RESULTS.iterdir())


@pytest.mark.parametrize("path", sorted(BENCHES.glob("*.py")), ids=lambda path: path.stem)
def test_benches_write_with_the_one_writer(path: Path) -> None:
    code = path.read_text("utf-8")
    if "experiments/results/" in code:
        assert "write_result(" in code
    assert "rev-parse" not in code
