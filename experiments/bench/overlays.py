"""What promotions drawn over photos cost, and what each remedy brings: painting out, augmentation, consistency.

    python experiments/bench/overlays.py read --data $SHOPVL_DATA --work runs/overlays
    python experiments/bench/overlays.py train --data $SHOPVL_DATA --work runs/overlays --start runs/tri-clip/design
    python experiments/bench/overlays.py score --data $SHOPVL_DATA --work runs/overlays \\
        --out experiments/results/overlays.json

`read` draws several times on the photos of a split of the 224 px file (promotions on every other one, a large word
that lies about the colour on the rest, and the other way round on the next drawing), lets OCR read them, and paints out
what it takes for text laid over the picture. `train` goes on from one backbone for the same steps three times: as it
is, with promotions drawn on half of the training pictures, and with the consistency term as well. `score` fits a linear
probe on clean train photos and asks it about the four forms of the test photos. All can be stopped and started again.
What is chosen by looking at falls is chosen on the drawings of `--split val`.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from PIL import Image
from score_embeddings import attribute, softmax_regression

from shopvl.catalog.images import decode
from shopvl.design.design import Design
from shopvl.recipes import find
from shopvl.tracking.provenance import write_result
from shopvl.training.experiment import Experiment
from shopvl.training.pretraining import pretrain
from shopvl.vision.ocr import Reader
from shopvl.vision.overlays import draw_lying_text, draw_overlays
from shopvl.vision.subject import subject_map, without_overlays

SMALL, LARGE = "fashion-products-small.parquet", "fashion-products-224.parquet"
CLEAN, OVERLAID = ("clean", "clean, painted out"), ("overlaid", "overlaid, painted out")
WITH = find("tri-clip", "mini").to_dict()["objectives"]
DESIGNS: dict[str, dict[str, Any]] = {
    "plain": {},
    "augmented": {"augment": {"overlays": 0.5}},
    "consistent": {
        "augment": {"overlays": 0.5},
        "objectives": [*WITH, {"kind": "overlay-consistency", "weight": 1.0}],
    },
}


def table(data: Path, split: str) -> pl.DataFrame:
    """Rows of one split with their pictures, types and colours."""
    rows = pl.scan_parquet(data / LARGE).filter(pl.col("split") == split)
    return rows.select(
        "product_id", "image", pl.col("category_path").list.last().alias("type"), attribute("colour")
    ).collect()


def png(picture: Image.Image) -> bytes:
    """Encoded without loss."""
    sink = io.BytesIO()
    picture.save(sink, "PNG")
    return sink.getvalue()


def lies(drawing: int, count: int) -> np.ndarray:
    """bool (count,): the photos on which a drawing puts a word that lies, and no promotions."""
    return (np.arange(count) + drawing) % 2 == 1


def read(data: Path, work: Path, split: str, drawings: int) -> None:
    """The photos of a split as they came and painted out, and every drawing on them likewise, a file each."""
    folder = work / split
    folder.mkdir(parents=True, exist_ok=True)
    photos = [decode(image["bytes"]) for image in table(data, split)["image"]]
    with Reader(decode, work / "ocr.sqlite") as reader:

        def write(path: Path, names: tuple[str, str], pictures: list[Image.Image]) -> None:
            came = [png(picture) for picture in pictures]
            bare = [
                png(without_overlays(picture, subject_map(picture, reading.words)))
                for picture, reading in zip(pictures, reader.read_all(came), strict=True)
            ]
            draft = path.with_suffix(".part")
            pl.DataFrame(dict(zip(names, (came, bare), strict=True))).write_parquet(draft)
            draft.replace(path)

        if not (folder / "clean.parquet").exists():
            write(folder / "clean.parquet", CLEAN, photos)
        for drawing in range(drawings):
            path = folder / f"drawing-{drawing}.parquet"
            if path.exists():
                continue
            drawn = [
                (draw_lying_text if lying else draw_overlays)(photo, np.random.default_rng((drawing, number)))[0]
                for number, (photo, lying) in enumerate(zip(photos, lies(drawing, len(photos)), strict=True))
            ]
            write(path, OVERLAID, drawn)


def falls(right: dict[str, np.ndarray], known_N: np.ndarray) -> dict[str, Any]:
    """By form and kind of drawing: accuracy, fall against the clean photos in points, and its standard error.

    `right` says by form which answers were right, bool (1, N) for the clean photos and (D, N) for those drawn on; only
    photos whose answer is known count. Figures are means over photos of means over drawings, and the error is that of
    the draw of photos.
    """
    lying_DN = np.stack([lies(drawing, len(known_N)) for drawing in range(len(right[OVERLAID[0]]))])
    every_DN = np.broadcast_to(known_N, lying_DN.shape)
    kinds = {"all": every_DN, "promotions": every_DN & ~lying_DN, "lies": every_DN & lying_DN}
    found: dict[str, Any] = {}
    for form, right_DN in right.items():
        lost_DN = right[CLEAN[0]].astype(float) - right_DN
        found[form] = {}
        for kind, chosen_DN in kinds.items():
            seen_N = chosen_DN.sum(0)
            lost_M = (lost_DN * chosen_DN).sum(0)[seen_N > 0] / seen_N[seen_N > 0]
            found[form][kind] = {
                "accuracy": float(right[CLEAN[0]][0, seen_N > 0].mean() - lost_M.mean()),
                "fall": 100 * float(lost_M.mean()),
                "error": 100 * float(lost_M.std() / np.sqrt(len(lost_M))),
            }
    return found


def forms(work: Path, split: str) -> Iterator[pl.DataFrame]:
    """What `read` wrote: both forms of the clean photos, then of every drawing."""
    for path in [work / split / "clean.parquet", *sorted((work / split).glob("drawing-*.parquet"))]:
        yield pl.read_parquet(path)


def train(data: Path, work: Path, start: str, epochs: float) -> None:
    """Three designs from one start, for the same steps."""
    for name, changes in DESIGNS.items():
        if (work / name / "design").is_dir():
            continue
        schedule = {"schedule": {"peak_lr": 1e-3, "half_size_share": 0.0}}
        told = {"recipe": "tri-clip", "size": "mini", "catalog": str(data / SMALL), "start": start, "epochs": epochs}
        pretrain(Experiment.from_dict({"name": "overlays", "changes": {**schedule, **changes}, **told}), work / name)


def features(design: Design, pictures: list[Image.Image]) -> np.ndarray:
    """(N, F) of the image tower."""
    found = []
    with torch.inference_mode():
        for at in range(0, len(pictures), 128):
            batch = design.loader.pictures(pictures[at : at + 128])
            found.append(design.model.encode_image(batch)[0].float().numpy())
    return np.concatenate(found)


def score(data: Path, work: Path) -> dict[str, Any]:
    """How far type and colour fall for every design and form."""
    train_rows, test = table(data, "train"), table(data, "test")
    found: dict[str, Any] = {"rows": len(test), "designs": {}}
    for name in DESIGNS:
        design = Design.from_pretrained(work / name / "design")
        fitted = features(design, [decode(image["bytes"]) for image in train_rows["image"]])
        shown: dict[str, list[np.ndarray]] = {}
        for pictures in forms(work, "test"):
            for form in pictures.columns:
                shown.setdefault(form, []).append(features(design, [decode(data) for data in pictures[form]]))
        figures: dict[str, Any] = {}
        for what in ("type", "colour"):
            known_N = train_rows[what].is_not_null().to_numpy()
            labels, class_N = np.unique(train_rows[what].to_numpy()[known_N].astype(str), return_inverse=True)
            asked = np.concatenate([part for parts in shown.values() for part in parts])
            said = softmax_regression(fitted[known_N], class_N, asked, 0)
            right = iter(
                (labels[said] == np.tile(test[what].to_numpy(), len(said) // len(test))).reshape(-1, len(test))
            )
            by_form = {form: np.stack([next(right) for _ in parts]) for form, parts in shown.items()}
            figures[what] = falls(by_form, test[what].is_not_null().to_numpy())
        found["designs"][name] = figures
    return found


def main() -> None:
    """One of the three parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("read", "train", "score"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--split", default="test", choices=("val", "test"))
    parser.add_argument("--drawings", type=int, default=4)
    parser.add_argument("--start")
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    match args.part:
        case "read":
            read(args.data, args.work, args.split, args.drawings)
        case "train":
            train(args.data, args.work, args.start, args.epochs)
        case "score":
            found = score(args.data, args.work)
            print(json.dumps(found, indent=1))
            if args.out:
                write_result(args.out, found, data=[args.data / SMALL, args.data / LARGE])


if __name__ == "__main__":
    main()
