"""The command that says how well codes stand for pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from shopvl.cli.console import out, progress
from shopvl.cli.options import AsJson, CatalogPath, DeviceName, OutFolder, Split, open_split, opened_model


def codes(
    model: Annotated[Path, typer.Argument(help="A model folder of a recipe with codes of pictures, such as beit.")],
    catalog: CatalogPath,
    folder: OutFolder,
    split: Split = "test",
    device: DeviceName = None,
    as_json: AsJson = False,
) -> None:
    """How well a model's codes stand for pictures.

    How many of them are in use, how near to a picture is what its codes make, and a page with both side by side:
    codes.json and codes.html.

    Example: shopvl codes runs/beit/design products.parquet --split test --out runs/beit-codes
    """
    from shopvl.evaluation.codes import FIGURES, REPORT, evaluate_codes
    from shopvl.files import exclusive_lock

    opened = open_split(catalog, split, required=("product_id",))
    design = opened_model(model, False, device)
    with exclusive_lock(folder, f"writing into {folder}"), progress("looking", opened.count()) as report:
        figures = evaluate_codes(design, opened, folder, report)
    if as_json:
        print(json.dumps(figures, indent=1))
        return
    out.print(
        f"{figures['used']:,} of {figures['codes']:,} codes in use, perplexity {figures['perplexity']:,.0f}; "
        f"PSNR {figures['psnr']:.1f} dB, {figures['psnr_enlarged']:.1f} of as few pixels",
        highlight=False,
    )
    out.print(f"{folder / FIGURES}\n{folder / REPORT}", highlight=False)
