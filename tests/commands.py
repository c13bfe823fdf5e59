"""Every command that writes, what it reads, and where it writes, for tests of what becomes of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from typer.testing import CliRunner

from shopvl.cli import app
from shopvl.files import LOCK, atomic_write, exclusive_lock

TAXONOMY = "# Google_Product_Taxonomy_Version: 2021-09-21\n1 - Clothing\n2 - Clothing > Dresses\n"
OUT = Path("out")  # all that the commands write is below


@dataclass(frozen=True)
class Writing:
    """A command line in the folder of a job."""

    command: str
    target: str  # of two processes that write the same one waits for the other here: a file, a folder or its lock
    begins_with: tuple[str, ...] = ()  # of the job's folder, copied below OUT before
    long: bool = False  # it takes a minute: not to be done again and again
    stops: bool = True  # with an error, where another is at it

    @property
    def name(self) -> str:
        """The words that are the command's."""
        words = self.command.split()
        return " ".join(words[: 2 if words[0] in GROUPS else 1])


GROUPS = ("catalog", "review", "experiments", "recipes")
WRITING = (
    Writing("catalog convert shop.csv --out out/c.csv", "c.csv"),
    Writing("catalog convert shop.csv --out out/c.parquet", "c.parquet"),
    Writing("catalog convert shop.csv --out out/c.jsonl", "c.jsonl"),
    Writing("catalog ontology shop.parquet --out out/o.json", "o.json"),
    Writing("catalog taxonomy shop.csv --taxonomy taxonomy.txt --out out/map.csv", "map.csv"),
    Writing("catalog synth --out out/shop --products 2", "shop/catalog.parquet"),
    Writing("export tags --out out/wide.csv", "wide.csv"),
    Writing("export tags --format wide --out out/wide.parquet", "wide.parquet"),
    Writing("export tags --format jsonl --out out/tags.jsonl", "tags.jsonl"),
    Writing("export tags --format google --catalog shop.parquet --out out/feed.tsv", "feed.tsv"),
    Writing("export tags --like shop.csv --out out/like.csv", "like.csv"),
    Writing("review export tags shop.parquet --model model --out out/s.csv", "s.csv"),
    Writing("review export tags shop.parquet --model model --out out/s.xlsx", "s.xlsx"),
    Writing("review import decided.csv --model model --out out/c.parquet", ".c.parquet.lock"),
    Writing("tag shop.parquet --model model --out out/tags", "tags/.ledger/.lock"),
    Writing("write shop.parquet --model writer --what title --from attributes --out out/texts", "texts/.written/.lock"),
    Writing("embed shop.parquet --model model --out out/vectors", "vectors/embeddings.parquet"),
    Writing("index shop.parquet --model model --out out/index", "index"),
    Writing("index --update shop.parquet --model model --out out/index", "index", ("index",)),
    Writing("index --update --out out/index --delete ids.txt", "index", ("index",)),
    Writing("search-audit index queries.csv --model model --out out/audit", "audit"),
    Writing("search-judge index queries.csv --model model --out out/sheet.csv", "sheet.csv"),
    Writing("evaluate model shop.parquet --split= --out out/scores", "scores"),
    Writing("calibrate out/model shop.parquet --split=", "model", ("model",)),
    Writing("calibrate model shop.parquet --split= --out out/other", "other"),
    Writing("tune model shop.parquet --split= --calibrate-on= --recipe linear --out out/tuned", "tuned"),
    Writing("pretrain run.yaml --out out/run", "run/.training.lock"),
    Writing("adapt many.parquet --model model --minutes 0.01 --out out/own", "own", long=True),
    Writing("catalog audit mixed.parquet --model model --out out/a.csv", "a.csv"),
    Writing("catalog audit mixed.parquet --model model --titles --out out/t.csv", "t.csv"),
    Writing("start shop.parquet --labels labels.yaml --out out/start", "start", long=True),
    Writing("experiments run run.yaml --out out/runs", "runs/tri-clip-seed0/.lock", long=True, stops=False),
    Writing("experiments gate model model shop.parquet --split= --out out/gate", "gate"),
)
# which commands write nothing, or are tested by themselves (tests/tracking, tests/runs, tests/test_demo.py, tests/app,
# tests/evaluation/test_codes_report.py)
READING = (
    "ask",
    "catalog check",
    "catalog queries",
    "codes",
    "locate",
    "recipes list",
    "recipes show",
    "recipes table",
    "review agreement",
    "search",
    "suggest",
    "verify",
)
OF_A_STORE = tuple(f"experiments {name}" for name in ("list", "compare", "repeat", "sync", "promote", "rollback"))
SERVING = ("app", "demo", "mcp", "serve")


def make_job(folder: Path, model: Path, writer: Path, table: Path) -> Path:
    """A folder with all that the commands read."""
    shutil.copytree(model, folder / "model")
    shutil.copytree(writer, folder / "writer")
    shutil.copy(table, folder / "many.parquet")
    frame = pl.read_parquet(table).head(12)
    frame.write_parquet(folder / "shop.parquet")
    mixed = frame.with_columns(pl.col("category_path", "attributes").reverse())
    mixed.write_parquet(folder / "mixed.parquet")
    plain = frame.select("product_id", "title", category=pl.col("category_path").list.join(" > "))
    plain.write_csv(folder / "shop.csv")
    plain.write_ndjson(folder / "shop.jsonl")
    plain.write_excel(folder / "shop.xlsx")
    (folder / "photo.jpg").write_bytes(frame["image"].struct.field("bytes")[0])
    (folder / "taxonomy.txt").write_text(TAXONOMY)
    (folder / "labels.yaml").write_text("category: [Dresses, Shoes]\ncolour: [red, blue]\n")
    (folder / "queries.csv").write_text("query\nred dress\nblue shirt\n")
    (folder / "ids.txt").write_text("".join(f"{name}\n" for name in frame["product_id"].head(1)))
    (folder / "run.yaml").write_text("recipe: tri-clip\nsize: tiny\ncatalog: shop.parquet\nsplit:\nepochs: 0.1\n")
    told = ("--model", folder / "model")
    call("tag", folder / "shop.parquet", *told, "--out", folder / "tags")
    call("index", folder / "shop.parquet", *told, "--out", folder / "index")
    call("review", "export", folder / "tags", folder / "shop.parquet", *told, "--out", folder / "sheet.csv")
    sheet = pl.read_csv(folder / "sheet.csv", infer_schema=False)
    sheet.with_columns(correct=pl.col("answer")).write_csv(folder / "decided.csv")
    return folder


def call(*words: object) -> BaseException | None:
    """What the command raised, if it was not the end of the process."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    return None if isinstance(done.exception, SystemExit) else done.exception


@contextmanager
def another_at(target: Path) -> Iterator[None]:
    """Another process writes that file or folder, and has not written anything yet."""
    if target.name.endswith(LOCK):
        held = exclusive_lock(target.parent, "at it", name=target.name)
    else:
        held = atomic_write(target) if target.suffix else exclusive_lock(target, "at it")
    with held as draft:
        yield
        if draft is not None:
            draft.write_text("by another")
