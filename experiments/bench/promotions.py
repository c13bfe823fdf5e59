"""What promotions by a hand that no training picture has seen cost: points of type and colour, from the picture alone.

    OMP_NUM_THREADS=1 python experiments/bench/promotions.py --data $SHOPVL_DATA --work runs/promotions --ocr \\
        --out experiments/results/promotions.json

The hand is kept out of `shopvl`, so that training cannot use it, and has code, letters, plates and places of its own:
two texts a photo, 9 to 15% of its width high, in the font that comes with Pillow, on plates of four colours, anywhere,
on the product as often as elsewhere; every second text names a colour that is not the product's. `as it came`: what the
model answers then; `ocr`, with `--ocr`: when the words are read and painted out first, as `--ocr` does elsewhere (what
was read is kept in the folder `work`). Falls are against the photos as they came, with the standard error of the draw
of photos. What is chosen by looking at them is chosen with `--split val`, the default.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from overlays import LARGE, png, table
from PIL import Image, ImageDraw, ImageFont
from shipped import said

from shopvl.catalog.images import decode
from shopvl.catalog.vocabulary import CATEGORY
from shopvl.design.design import Design
from shopvl.paths import SHIPPED
from shopvl.tracking.provenance import write_result
from shopvl.vision.ocr import Reader
from shopvl.vision.picture_words import bared

PLATES = ((255, 255, 255), (20, 20, 20), (220, 30, 30), (250, 220, 40))
SLOGANS = ("SALE", "-50%", "NEW", "HOT DEAL", "FREE SHIPPING", "$19.99", "LIMITED", "BEST PRICE")
COLOURS = ("BLACK", "WHITE", "BLUE", "RED", "GREEN", "GREY", "BROWN", "PINK", "PURPLE", "YELLOW", "ORANGE")


def draw(photo: Image.Image, colour: str | None, rng: np.random.Generator) -> Image.Image:
    """The RGB photo with two texts on it, each a slogan or a colour that is not `colour`."""
    drawn = photo.convert("RGB")
    pen = ImageDraw.Draw(drawn)
    false = [name for name in COLOURS if name.lower() not in (colour or "").lower()]
    for _ in range(2):
        text = str(rng.choice(false if rng.random() < 0.5 else SLOGANS))
        letters = ImageFont.load_default(max(6.0, drawn.width * rng.uniform(0.09, 0.15)))
        left, top, right, bottom = letters.getbbox(text)
        pad = (bottom - top) // 3
        x = rng.uniform(0, max(1, drawn.width - (right - left) - 2 * pad))
        y = rng.uniform(0, max(1, drawn.height - (bottom - top) - 2 * pad))
        plate = PLATES[int(rng.integers(len(PLATES)))]
        pen.rectangle((x, y, x + right - left + 2 * pad, y + bottom - top + 2 * pad), fill=plate)
        ink = (255, 255, 255) if sum(plate) < 350 else (10, 10, 10)
        pen.text((x + pad - left, y + pad - top), text, fill=ink, font=letters)
    return drawn


def fall(clean_N: np.ndarray, shown_DN: np.ndarray) -> dict[str, float]:
    """Accuracy over all drawings, and points lost against the clean photos with their standard error."""
    lost_N = clean_N - shown_DN.mean(0)
    return {
        "accuracy": float(shown_DN.mean()),
        "fall": 100 * float(lost_N.mean()),
        "error": 100 * float(lost_N.std() / np.sqrt(len(lost_N))),
    }


def measure(
    design: Design, data: Path, work: Path, split: str, rows: int | None, drawings: int, *, ocr: bool
) -> dict[str, Any]:
    """Accuracy and falls of type and colour, by property and way of looking."""
    chosen = table(data, split)
    if rows is not None and rows < len(chosen):
        chosen = chosen.sample(rows, seed=0)
    photos = [decode(image["bytes"]) for image in chosen["image"]]
    truth = {CATEGORY: chosen["type"], "colour": chosen["colour"]}
    known = {name: values.is_not_null().to_numpy() for name, values in truth.items()}
    right: dict[str, dict[str, list[np.ndarray]]] = {name: {} for name in truth}

    def ask(way: str, came: list[Image.Image], bare: list[Image.Image] | None = None) -> None:
        for name, values in said(design, came, bare).items():
            right[name].setdefault(way, []).append((np.array(values) == truth[name].to_numpy())[known[name]])

    ask("clean", photos)
    shown = [
        [
            draw(photo, colour, np.random.default_rng((drawing, number)))
            for number, (photo, colour) in enumerate(zip(photos, chosen["colour"], strict=True))
        ]
        for drawing in range(drawings)
    ]
    for pictures in shown:
        ask("as it came", pictures)
    if ocr:
        work.mkdir(parents=True, exist_ok=True)
        with Reader(decode, work / "ocr.sqlite") as reader:
            for way, pictures in (("clean, ocr", photos), *(("ocr", pictures) for pictures in shown)):
                readings = reader.read_all([png(picture) for picture in pictures])
                bare = [bared(picture, reading).picture for picture, reading in zip(pictures, readings, strict=True)]
                ask(way, pictures, bare)
    return {
        name: {"photos": int(known[name].sum())}
        | {way: fall(by_way["clean"][0].astype(float), np.stack(parts)) for way, parts in by_way.items()}
        for name, by_way in right.items()
    }


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/promotions"))
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--split", default="val", choices=("val", "test"))
    parser.add_argument("--rows", type=int, help="so many photos, drawn by chance; default all")
    parser.add_argument("--drawings", type=int, default=2)
    parser.add_argument("--ocr", action="store_true")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    design = Design.from_pretrained(args.model)
    figures = measure(design, args.data, args.work, args.split, args.rows, args.drawings, ocr=args.ocr)
    found = {
        "split": args.split,
        "drawings": args.drawings,
        "properties": figures,
    }
    print(json.dumps(found, indent=1))
    if args.out is not None:
        write_result(args.out, found, model=design.name, data=[args.data / LARGE])


if __name__ == "__main__":
    main()
