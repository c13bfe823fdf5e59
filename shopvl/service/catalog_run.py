"""A catalog tagged in the background while people watch: progress, a way to stop it, and results to download.

The tables come from people, not from whoever runs the service: their pictures may be on the web, inside the table or
beside the catalog, and nowhere else on this machine.
"""

from __future__ import annotations

import shutil
import threading
import time
import uuid
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shopvl.batch import Modality
from shopvl.catalog.readers import Catalog, open_catalog
from shopvl.catalog.schema import FAULT, IMAGE, MORE_IMAGES, PICTURE_FAULTS
from shopvl.catalog.vocabulary import CATEGORY
from shopvl.checksums import Remedy, file_digests, read_object, verify_all
from shopvl.design.design import Design
from shopvl.errors import ShopvlError
from shopvl.files import Table, write_object
from shopvl.inference.decide import DECIDED, NOT_APPLYING, REASONS
from shopvl.review.sheet import write_csv
from shopvl.tagging.run import TAGS, Tagged, tag

TAG_ANEW = Remedy("delete that run's folder and tag the table again")
RUN = "run.json"  # written last: a folder that has one is complete
COPY = "catalog"  # an uploaded table, kept for the review
FILES = "files"  # the key of its checksum in RUN
TAG_COLUMNS = tuple(DECIDED.names)
TEXTS = ("product_id", "property", "value", "best_guess", "decision", "reason")
OUTSIDE = "a file outside the catalog's folder, which is not read"
REJECT_KINDS = 8  # that a summary names

State = Literal["running", "done", "stopped", "failed"]


@dataclass(frozen=True)
class FencedCatalog(Catalog):
    """An untrusted table, whose picture paths may not leave the folder they start from."""

    @classmethod
    def around(cls, catalog: Catalog, root: Path) -> Self:
        """The table with pictures below `root`."""
        return cls(catalog.source, root, catalog.plan, catalog.split, parents=catalog.parents)

    def batches(self, rows: int = 1024, *, columns: Collection[str] | None = None) -> Iterator[pl.DataFrame]:
        """As `Catalog.batches`. A picture elsewhere on this machine is a fault of its row; a further one is left
        out.
        """
        fence = self.root.resolve()
        for frame in super().batches(rows, columns=columns):
            if "image" in frame.columns:
                paths = frame["image"].struct.field("path").to_list()
                outside = [row for row, path in enumerate(paths) if path and not _inside(path, fence)]
                frame = _without_pictures(frame, outside) if outside else frame
            yield _without_further(frame, fence) if MORE_IMAGES in frame.columns else frame


def _inside(path: str, fence: Path) -> bool:
    if "://" in path:
        return True
    try:
        return (fence / path).resolve().is_relative_to(fence)
    except (OSError, ValueError):
        return False


def _without_pictures(frame: pl.DataFrame, rows: Sequence[int]) -> pl.DataFrame:
    images = frame["image"].to_list()
    for row in rows:
        images[row] = None
    columns = [pl.Series("image", images, dtype=IMAGE)]
    if FAULT in frame.columns:
        faults = frame[FAULT].to_list()
        for row in rows:
            faults[row] = faults[row] or f"its picture is {OUTSIDE}"
        columns.append(pl.Series(FAULT, faults, dtype=pl.String))
    return frame.with_columns(columns)


def _without_further(frame: pl.DataFrame, fence: Path) -> pl.DataFrame:
    """Further pictures outside the fence lose their place, and PICTURE_FAULTS says why."""
    rows, reasons = frame[MORE_IMAGES].to_list(), []
    for number, more in enumerate(rows):
        outside = [bool(one["path"]) and not one["bytes"] and not _inside(one["path"], fence) for one in more or ()]
        reasons.append([None, *(f"it is {OUTSIDE}" if out else None for out in outside)] if any(outside) else None)
        if any(outside):
            rows[number] = [{**one, "path": None} if out else one for one, out in zip(more, outside, strict=True)]
    return frame.with_columns(
        pl.Series(MORE_IMAGES, rows, dtype=frame.schema[MORE_IMAGES]),
        pl.Series(PICTURE_FAULTS, reasons, dtype=pl.List(pl.String)),
    )


@dataclass(frozen=True)
class Summary:
    """What a run did: counts of decisions by property (only where something was asked), and why rows were rejected."""

    rows: int
    tagged: int
    rejected: int
    conflicts: int
    decisions: dict[str, dict[str, int]]
    reasons: list[tuple[str, int]]
    seconds: float

    @classmethod
    def of(cls, tagged: Tagged, folder: Path, seconds: float) -> Summary:
        """Of the tables in a run's folder. A property that a product cannot have is not counted for it."""
        tags = pl.read_parquet(folder / "tags.parquet", columns=["property", "decision", "reason", "conflict"])
        decisions: dict[str, dict[str, int]] = {}
        counted = tags.filter(pl.col("reason") != REASONS[NOT_APPLYING]).group_by("property", "decision").len()
        for name, decision, count in counted.sort("property").iter_rows():
            decisions.setdefault(name, {})[decision] = count
        reasons = Counter(pl.read_parquet(folder / "rejects.parquet")["reason"].to_list())
        ordered = sorted(decisions, key=lambda name: (name != CATEGORY, -sum(decisions[name].values()), name))
        return cls(
            rows=tagged.rows,
            tagged=tagged.tagged,
            rejected=tagged.rejected,
            conflicts=int(tags["conflict"].sum()),
            decisions={name: decisions[name] for name in ordered},
            reasons=reasons.most_common(REJECT_KINDS),
            seconds=round(seconds, 2),
        )


@dataclass
class CatalogRun:
    """One run: its folder, how far it is, and in the end its summary, or why there is none."""

    folder: Path
    name: str  # of the table, as people know it
    total: int
    rows: int = 0
    state: State = "running"
    message: str = ""
    summary: Summary | None = None
    started: float = field(default_factory=time.monotonic)
    _stop: threading.Event = field(default_factory=threading.Event, repr=False)
    _thread: threading.Thread = field(default_factory=threading.Thread, repr=False)  # none that runs before `start`

    @classmethod
    def start(
        cls,
        design: Design,
        catalog: FencedCatalog,
        runs: Path,
        *,
        name: str,
        precision: float,
        use: tuple[Modality, ...],
        limit: int | None,
        properties: Sequence[str],
    ) -> CatalogRun:
        """Begin, in a thread; of the answers only those about `properties` are kept, if any are given.

        Raises ShopvlError for a table without rows, or a property the model does not know.
        """
        if strange := sorted(set(properties) - set(design.labels)):
            raise ShopvlError(f"the model does not answer {', '.join(strange)}; it answers {', '.join(design.labels)}")
        total = catalog.count()
        if not total:
            raise ShopvlError(f"{name} has no rows; nothing can be tagged")
        moment = datetime.now(UTC)
        folder = runs / f"{moment:%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:4]}"
        folder.mkdir(parents=True)
        run = cls(folder, name, min(total, limit) if limit else total)
        settings = {
            "table": str(catalog.path),
            "root": str(catalog.root),
            "name": name,
            "model": design.name,
            "precision": precision,
            "use": list(use),
            "limit": limit,
            "properties": list(properties),
            "started_at": moment.isoformat(),
        }
        run._thread = threading.Thread(target=run._work, args=(design, catalog, settings), daemon=True)
        run._thread.start()
        return run

    @property
    def alive(self) -> bool:
        """Whether it is under way."""
        return self.state == "running"

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.started

    def stop(self) -> None:
        """Let it end before its next rows; nothing of it is kept."""
        self._stop.set()

    def wait(self, timeout_s: float | None = None) -> None:
        """Until it has ended."""
        self._thread.join(timeout_s)

    def files(self) -> dict[str, Path]:
        """Files to download, by name; empty until the run is done."""
        names = ("tags.parquet", "tags.csv", "rejects.csv") if self.state == "done" else ()
        return {name: self.folder / name for name in names}

    def _work(self, design: Design, catalog: FencedCatalog, settings: dict[str, Any]) -> None:
        try:
            tagged = tag(
                design,
                catalog,
                self.folder,
                use=tuple(settings["use"]),
                precision=settings["precision"],
                limit=settings["limit"],
                report=self._report,
            )
            self._finish(tagged, settings)
            self.state = "done"
        except _Stopped:
            self._give_up("stopped", "it was stopped; nothing of it was kept")
        except ShopvlError as error:
            self._give_up("failed", str(error))
        except Exception as error:  # noqa: BLE001  (the thread's end: watchers must see it)
            self._give_up("failed", f"it broke off: {error!r}")

    def _report(self, rows: int) -> None:
        self.rows = rows
        if self._stop.is_set():
            raise _Stopped

    def _give_up(self, state: State, message: str) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.message, self.state = message, state

    def _finish(self, tagged: Tagged, settings: dict[str, Any]) -> None:
        path = self.folder / "tags.parquet"
        if settings["properties"]:
            _keep_properties(path, settings["properties"])
        _as_csv(path, self.folder / "tags.csv")
        rejects = pl.read_parquet(self.folder / "rejects.parquet")
        write_csv(self.folder / "rejects.csv", rejects.iter_rows(named=True), rejects.columns)
        source = Path(settings["table"])
        if not source.is_dir() and settings["root"] != str(source.parent):
            table_copy = self.folder / f"{COPY}{source.suffix}"
            shutil.copyfile(source, table_copy)
            settings |= {"table": str(table_copy), FILES: file_digests(self.folder, [table_copy.name])}
        self.summary = Summary.of(tagged, self.folder, self.seconds)
        write_object(self.folder / RUN, {**settings, **vars(self.summary)})


class _Stopped(Exception):  # noqa: N818
    """The run was asked to stop."""


def _keep_properties(tags: Path, properties: Sequence[str]) -> None:
    with Table(tags, TAGS) as table, pq.ParquetFile(tags) as whole:
        for batch in whole.iter_batches():
            table.write_batch(batch.filter(pc.is_in(batch["property"], pa.array(properties))))


def _as_csv(tags: Path, out: Path) -> None:
    """The tags for a spreadsheet: lists in one cell, and nothing that it would run."""

    def rows() -> Iterator[dict[str, str]]:
        for frame in pl.scan_parquet(tags).select(TAG_COLUMNS).collect_batches():
            for row in frame.iter_rows(named=True):
                others = " | ".join(f"{o['value']} ({o['probability']:.0%})" for o in row["alternatives"] or ())
                yield {
                    **{name: row[name] or "" for name in TEXTS},
                    "probability": f"{row['probability']:.4f}",
                    "evidence": " ".join(row["evidence"] or ()),
                    "conflict": "yes" if row["conflict"] else "",
                    "alternatives": others,
                }

    write_csv(out, rows(), TAG_COLUMNS)


def table_of_run(folder: Path) -> str:
    """What people call the table of a finished run; empty where nobody knows."""
    try:
        return str(read_object(folder / RUN, TAG_ANEW).get("name", ""))
    except ShopvlError:
        return ""


def read_run(folder: Path) -> FencedCatalog:
    """The catalog that a finished run was about. Raises ShopvlError where its table is gone."""
    settings = read_object(folder / RUN, TAG_ANEW)
    with suppress(FileNotFoundError):  # whoever opens the table says so
        verify_all(folder, settings.get(FILES, {}), TAG_ANEW)
    return FencedCatalog.around(open_catalog(settings["table"], required=()), Path(settings["root"]))
