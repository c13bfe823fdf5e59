"""Options that several commands share, and what is made of their values."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shopvl.cli.console import say
from shopvl.errors import ShopvlError

if TYPE_CHECKING:
    from shopvl.batch import Modality
    from shopvl.catalog.readers import Catalog
    from shopvl.catalog.reading import Reading
    from shopvl.design.design import Design


CatalogPath = Annotated[
    str, typer.Argument(help="A table (CSV, workbook, JSON, XML, Parquet) or a folder of pictures, as a shop has it.")
]
MapFile = Annotated[
    Path | None, typer.Option("--map", help="mapping.yaml: which columns hold what, where that is not found right.")
]
Sheet = Annotated[str | None, typer.Option(help="Of a workbook; the first one with a header if left out.")]
ModelFolder = Annotated[
    Path, typer.Option("--model", help="A shopvl model folder; left out: the bundled model.", show_default=False)
]
OutFolder = Annotated[Path, typer.Option("--out", help="Folder to write.", file_okay=False)]
Split = Annotated[str | None, typer.Option(help="Only rows of this split.")]
Ocr = Annotated[
    bool, typer.Option("--ocr", help="Read pictures first: paint out text laid over them; printed words are evidence.")
]
RuntimeName = Annotated[
    str,
    typer.Option("--runtime", help="What image towers run in: torch, onnx, openvino; auto: what is fastest here."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
DeviceName = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda or cuda:1; left out: a GPU where there is one.")
]
Threads = Annotated[int | None, typer.Option(help="CPU threads.")]
Precision = Annotated[float, typer.Option(min=0.5, max=1.0, help="Of accepted answers.")]


def inputs_of(text: str) -> tuple[Modality, ...]:
    """`image,title` as inputs, in the order models want."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = sorted(set(names) - {"image", "title"})
    if unknown or not names:
        given = ", ".join(unknown) or "nothing"
        raise ShopvlError(f"--use takes image and title, not {given}; write --use image,title or one of them")
    inputs: list[Modality] = []
    if "image" in names:
        inputs.append("image")
    if "title" in names:
        inputs.append("title")
    return tuple(inputs)


def reading_of(mapping: Path | None, sheet: str | None) -> Reading:
    """What these options say about how to read a table."""
    from shopvl.catalog.reading import Reading

    return Reading(sheet=sheet) if mapping is None else Reading.load(mapping, sheet=sheet)


def open_split(
    catalog: str | Path,
    split: str | None = None,
    required: Collection[str] | None = None,
    reading: Reading | None = None,
) -> Catalog:
    """The catalog, or that split of it; says so where titles decide which split a row is in."""
    from shopvl.catalog.readers import open_catalog
    from shopvl.catalog.schema import REQUIRED
    from shopvl.catalog.splits import SHARES

    needed = REQUIRED if required is None else required
    opened = open_catalog(catalog, split=split or None, required=needed, reading=reading)
    if split and not opened.has("split"):
        shares = ", ".join(f"{share:.0%} {name}" for name, share in SHARES)
        say(f"{catalog} has no column split, so titles decide which products are in which: {shares}")
    return opened


def with_reader(design: Design, ocr: bool) -> Design:
    """The design, with a reader where OCR is asked for; raises ShopvlError where the OCR engine is not installed."""
    from shopvl.data.rows import picture_reader

    if ocr and design.reader is None:
        design.reader = picture_reader()
        design.reader.version()
    return design


def opened_model(model: Path, ocr: bool, device: str | None) -> Design:
    """The model of that folder, on that device; raises ShopvlError where it is not there."""
    from shopvl.design.design import Design
    from shopvl.device import device_named

    return with_reader(Design.from_pretrained(model).on(device_named(device)), ocr)


def ready(design: Design, runtime: str, catalog: Catalog) -> Design:
    """The design made ready for the catalog's rows."""
    from shopvl.design.in_use import checked_runtime, in_use

    return in_use(design, checked_runtime(runtime), rows=catalog.count())


def use_threads(threads: int | None) -> None:
    """Let torch use so many CPU threads, where a number is given."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
