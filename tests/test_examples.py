"""Help fits a terminal, and the examples of help and pages run: on a small drawn shop, with models of size tiny."""

import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import openpyxl
import polars as pl
import pytest
import typer
import yaml
from typer.testing import CliRunner

from shopvl.cli import app
from shopvl.recipes import find
from shopvl.synthetic.generate import draw_item

ROOT = Path(__file__).parents[1]
COLUMNS = 80
RUNS = "<!-- runs -->"  # stands above a block that runs
BLOCK = re.compile(rf"^{RUNS}\n+```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
PAGES = sorted(path for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")) if RUNS in path.read_text("utf-8"))
SMALL_GRID = {
    "shop": {"products": 60, "size_px": 32, "seed": 2},
    "size": "tiny",
    "epochs": 1,
    "tune": {"min_steps": 20},
    "calibrate_on": "train",
    "evaluate_on": "train",
    "grid": {"seed": [0, 1]},
}
# what a small shop needs besides: its splits are too small for what is meant for thousands of products
ADDED = {
    "calibrate": ("--split", "train"),
    "evaluate": ("--split", "train"),
    "tune": ("--size", "tiny", "--calibrate-on", "train"),
}
MADE_FIRST = ("tag", "index", "review export", "review import")  # others read what these write
SLOW = ("demo", "pretrain", "tune", "adapt", "evaluate", "start")
SERVERS = ("app", "serve", "mcp")
# each goes on with what the one before has left
OF_RUNS = tuple(f"experiments {word}" for word in ("run", "compare", "repeat", "sync", "promote", "gate", "rollback"))


def commands(group: typer.core.TyperGroup, words: str = "") -> dict[str, typer.core.TyperCommand]:
    """Every command by its words, groups among them."""
    found = {words.strip(): group}
    for name, command in group.commands.items():
        inside = f"{words} {name}".strip()
        found |= commands(command, inside) if hasattr(command, "commands") else {inside: command}
    return found


ALL = commands(typer.main.get_command(app))
EXAMPLES = {
    words: re.search(r"Example: shopvl (.+)", command.help or "")[1]
    for words, command in ALL.items()
    if not hasattr(command, "commands")
}


def run(line: str) -> str:
    """A line of a shell that starts with `shopvl`, run in this process; minutes become seconds."""
    words = shlex.split(line.partition(" > ")[0], comments=True)
    assert words.pop(0) == "shopvl", line
    name = words[0] if words[0] in EXAMPLES else " ".join(words[:2])
    for option, number in (("--minutes", "0.02"), ("--products", "60")):
        if option in words:
            words[words.index(option) + 1] = number
    for option in ADDED.get(name, ())[::2]:
        if option in words:
            del words[words.index(option) : words.index(option) + 2]
    if name == "review import":
        _fill_in(Path(words[2]))
    done = CliRunner().invoke(app, [*words, *ADDED.get(name, ())], catch_exceptions=False)
    assert done.exit_code in ((0, 1) if name == "catalog check" else (0,)), f"{line}\n{done.output}"
    return done.output


def _fill_in(sheet: Path) -> None:
    """What a person does with a review sheet: say that the first answer is right."""
    book = openpyxl.load_workbook(sheet)
    rows = book.active
    columns = {cell.value: cell.column for cell in rows[1]}
    rows.cell(2, columns["correct"]).value = rows.cell(2, columns["answer"]).value
    book.save(sheet)


@pytest.fixture(scope="module")
def workshop(toy_table: Path, tuned_folder: Path, make_design, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that examples name."""
    folder = tmp_path_factory.mktemp("workshop")
    rows = pl.read_parquet(toy_table)
    rows.write_parquet(folder / "products.parquet")
    (folder / "pictures").mkdir()
    lines = []
    for row in rows.iter_rows(named=True):
        path = f"pictures/{row['product_id']}.jpg"
        (folder / path).write_bytes(row["image"]["bytes"])
        told = "; ".join(f"{one['property']}: {one['value']}" for one in row["attributes"])
        lines.append({"product_id": row["product_id"], "title": row["title"], "image": path, "price": row["price"]})
        lines[-1] |= {"category_path": " > ".join(row["category_path"]), "attributes": told}
    pl.DataFrame(lines).write_csv(folder / "products.csv")
    pl.DataFrame(lines[:5]).write_csv(folder / "new.csv")
    (folder / "gone.txt").write_text(lines[-1]["product_id"] + "\n")
    (folder / "queries.csv").write_text("query\nred dress\nzzzz\n")
    (folder / "names.json").write_text("{}")
    (folder / "labels.yaml").write_text("category: [Dresses, Shoes]\ncolour: [red, blue | navy]\n")
    (folder / "google.txt").write_text("166 - Apparel & Accessories\n187 - Apparel & Accessories > Shoes\n")
    for number, name in enumerate(("shirt.jpg", "shoe.jpg")):
        draw_item(3 + number, 0, 96).image.save(folder / name)
    for name in ("tagger", "answers", "mine/design", "tri-clip/design"):
        shutil.copytree(tuned_folder, folder / "runs" / name)
    make_design(find("gpt-2", "tiny")).save(folder / "runs/gpt-2/design")
    make_design(find("simvlm", "tiny")).save(folder / "runs/writer")
    for name in ("beit", "glip", "relations"):
        make_design(find(name, "tiny")).save(folder / f"runs/{name}/design")
    (folder / "experiments/grids").mkdir(parents=True)
    small = {"size": "tiny", "catalog": "products.parquet", "split": "train", "minutes": 0.02}
    (folder / "experiments/tri-clip-mini.yaml").write_text(yaml.safe_dump(small))
    (folder / "experiments/grids/shop-small.yaml").write_text(yaml.safe_dump(SMALL_GRID))
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        for words in MADE_FIRST:
            run(f"shopvl {EXAMPLES[words]}")
    return folder


@pytest.fixture
def inside(workshop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, to work in."""
    shutil.copytree(workshop, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.mark.parametrize("words", ALL)
def test_help_fits_a_terminal(words: str) -> None:
    lines = CliRunner().invoke(app, [*words.split(), "--help"], env={"COLUMNS": str(COLUMNS)}).output.splitlines()
    assert max(map(len, lines)) <= COLUMNS
    if hasattr(ALL[words], "commands"):  # a line for each
        table = [
            line.strip("│ ") for line in lines[next(at for at, line in enumerate(lines) if "─ Commands" in line) :]
        ]
        for name, command in ALL[words].commands.items():
            about = (command.help or "").split("\n\n")[0]
            assert any(line.split(None, 1) == [name, about] for line in table), f"{name}: longer than a line"


@pytest.mark.parametrize(
    "words", [words for words in EXAMPLES if words not in (*SLOW, *SERVERS, *MADE_FIRST, *OF_RUNS)]
)
def test_the_example_of_a_command_runs(words: str, inside: Path) -> None:
    printed = run(f"shopvl {EXAMPLES[words]}")
    assert printed.strip()
    out = re.search(r"--out (\S+)", EXAMPLES[words])
    assert out is None or (inside / out[1]).exists()


@pytest.mark.zoo
@pytest.mark.parametrize("words", SLOW)
def test_the_example_of_a_slow_command_runs(words: str, inside: Path) -> None:
    run(f"shopvl {EXAMPLES[words]}{' --products 60 --minutes 1' if words == 'demo' else ''}")
    assert (inside / re.search(r"--out (\S+)", EXAMPLES[words])[1]).exists()


@pytest.mark.zoo
def test_the_example_of_the_app_runs(inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serving = pytest.importorskip("app.serving")
    served = []
    monkeypatch.setattr(serving, "serve", lambda service, **told: served.append(told))
    run(f"shopvl {EXAMPLES['app']}")
    assert served[0]["host"] == "127.0.0.1"


@pytest.mark.zoo
def test_the_example_of_the_server_runs(inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = pytest.importorskip("shopvl.server.running")
    served = []
    monkeypatch.setattr(running, "run", lambda app, **told: served.append(told))
    run(f"shopvl {EXAMPLES['serve']}")
    assert served[0]["host"] == "127.0.0.1"


@pytest.mark.zoo
def test_the_example_of_the_tools_runs(inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    servers = pytest.importorskip("mcp.server.mcpserver")
    served = []
    monkeypatch.setattr(servers.MCPServer, "run", lambda server, transport: served.append(transport))
    run(f"shopvl {EXAMPLES['mcp']}")
    assert served == ["stdio"]


@pytest.mark.zoo
def test_the_examples_of_experiments_run_in_their_order(inside: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    for words in ("run", "compare"):
        run(f"shopvl {EXAMPLES[f'experiments {words}']}")
    mlflow.set_tracking_uri(f"sqlite:///{inside / 'runs/mlflow.db'}")
    ids = [one.info.run_id for one in mlflow.search_runs(experiment_names=["shop-small"], output_format="list")]
    run("shopvl " + EXAMPLES["experiments repeat"].replace("0123456789abcdef0123456789abcdef", ids[0]))
    run(f"shopvl {EXAMPLES['experiments sync']}")
    for _ in range(2):  # an equal model passes the gate
        run("shopvl " + EXAMPLES["experiments promote"].replace("RUN_ID", ids[0]))
    gate = EXAMPLES["experiments gate"].replace("runs/tagger-2", "models:/shop@champion")
    run("shopvl " + gate.replace("--protect colour", "--protect Colour"))  # as the drawn shop writes it
    run(f"shopvl {EXAMPLES['experiments rollback']}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_that_are_marked_as_running_run(page: Path, inside: Path) -> None:
    blocks = BLOCK.findall(page.read_text("utf-8"))
    assert len(blocks) == page.read_text("utf-8").count(RUNS), "the mark stands right above a block"
    for kind, code in blocks:
        if kind == "python":
            exec(compile(code, page.name, "exec"), {})
            continue
        assert kind == "sh"
        for line in filter(None, code.splitlines()):
            run(line)


def script(name: str, monkeypatch: pytest.MonkeyPatch, *words: str) -> object:
    """Run a script of docs/examples in this process; what its `main` gives to the shell."""
    monkeypatch.setattr(sys, "argv", [name, *words])
    try:
        runpy.run_path(str(ROOT / "docs/examples" / name), run_name="__main__")
    except SystemExit as ended:
        return ended.code
    return None


def test_the_script_that_tags_a_frame(inside: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    script("tag_frame.py", monkeypatch, "products.csv", "--out", "tagged.csv")
    rows = pl.read_csv(inside / "tagged.csv", infer_schema=False)
    assert rows["product_id"].to_list() == pl.read_csv("products.csv", infer_schema=False)["product_id"].to_list()
    assert rows["colour"].drop_nulls().len() > 10
    assert "of 60 products have accepted tags, 0 could not be read" in capsys.readouterr().out


def test_the_script_that_searches(inside: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    told = ("--index", "new-index", "--photo", "shirt.jpg", "--where", "price<1000000")
    script("search_shop.py", monkeypatch, "new.csv", "--query", "red", *told)
    script("search_shop.py", monkeypatch, "new.csv", "--query", "red", *told)  # opens what is there
    said = capsys.readouterr().out
    assert said.count("understood: colour: Red") == 2
    assert said.count("more like the first:") == 2


@pytest.mark.zoo
def test_the_script_that_adapts(inside: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    script("adapt_shop.py", monkeypatch, "products.parquet", "--out", "adapted", "--minutes", "0.05")
    said = capsys.readouterr().out
    assert re.search(r"^Colour: (answers|suggests|cannot); \d+% right", said, re.MULTILINE)
    assert (inside / "adapted/model.safetensors").is_file()


@pytest.mark.zoo
def test_the_script_that_promotes(inside: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    mlflow = pytest.importorskip("mlflow")
    from shopvl.tracking.store import mlflow_client

    store = f"sqlite:///{inside / 'mlflow.db'}"
    mlflow_client(store)
    mlflow.set_tracking_uri(None)  # a store that was chosen in this process before would be asked in place of it
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    for version in (1, 2):  # an equal model passes the gate
        assert script("promote.py", monkeypatch, "runs/tagger", "products.parquet", "--store", store) == 0
        assert f"runs/tagger is shop version {version}" in capsys.readouterr().out


def test_every_script_is_run_by_a_test() -> None:
    tests = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for path in (ROOT / "docs/examples").glob("*.py"):
        assert f'"{path.name}"' in tests or f"docs/examples/{path.name}" in tests, path.name


@pytest.mark.zoo
def test_the_nightly_job_goes_on_and_stops_where_too_much_is_rejected(inside: Path) -> None:
    words = [sys.executable, str(ROOT / "docs/examples/nightly.py")]
    told = ["--model", "runs/tagger", "--work", "nightly"]
    said = subprocess.check_output([*words, "products.csv", *told], text=True)
    assert "rejected" in said
    for name in ("feed.tsv", "review.xlsx", "index/config.json", "tags/tags.parquet"):
        assert (inside / "nightly" / name).is_file(), name
    assert subprocess.check_output([*words, "products.csv", *told], text=True).startswith("0 products are new")
    rows = pl.read_csv("products.csv")
    rows.with_columns(image=pl.lit("gone.jpg")).write_csv("broken.csv")
    done = subprocess.run([*words, "broken.csv", *told], capture_output=True, text=True)
    assert (done.returncode, "more than 5% rejected" in done.stderr) == (1, True)
