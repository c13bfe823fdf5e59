"""What promotions drawn over photos cost, and what each remedy brings: painting out, augmentation, consistency.

    python experiments/bench/overlays.py read --data $SHOPVL_DATA --work runs/overlays
    python experiments/bench/overlays.py train --data $SHOPVL_DATA --work runs/overlays --start runs/tri-clip/design
    python experiments/bench/overlays.py score --data $SHOPVL_DATA --work runs/overlays --out overlays.json

`read` draws on the test photos of the 224 px file (promotions on every other one, a large word that lies about the
colour on the rest), lets OCR read them, and paints out what it takes for text laid over the picture. `train` goes on
from one backbone for the same steps three times: as it is, with promotions drawn on half of the training pictures, and
with the consistency term as well. `score` fits a linear probe on clean train photos and asks it about the four forms of
the test photos. All can be stopped and started again.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from PIL import Image
from score_embeddings import attribute, softmax_regression

from shopvl.catalog.images import decode
from shopvl.design import Design
from shopvl.recipes import find
from shopvl.training.experiment import Experiment
from shopvl.training.pretraining import pretrain
from shopvl.vision.ocr import Reader
from shopvl.vision.overlays import draw_lying_text, draw_overlays
from shopvl.vision.subject import subject_map, without_overlays

SMALL, LARGE = "fashion-products-small.parquet", "fashion-products-224.parquet"
FORMS = ("clean", "clean, painted out", "overlaid", "overlaid, painted out")
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


def read(data: Path, work: Path) -> None:
    """The four forms of every test photo, as `work/forms/`."""
    work.mkdir(parents=True, exist_ok=True)
    rows = table(data, "test")
    photos = [decode(image["bytes"]) for image in rows["image"]]
    drawn = [
        (draw_overlays, draw_lying_text)[number % 2](photo, np.random.default_rng(number))[0]
        for number, photo in enumerate(photos)
    ]
    forms = {"clean": photos, "overlaid": drawn}
    with Reader(decode, work / "ocr.sqlite") as reader:
        for name in ("clean", "overlaid"):
            encoded = [png(photo) for photo in forms[name]]
            forms[f"{name}, painted out"] = [
                without_overlays(photo, subject_map(photo, reading.words))
                for photo, reading in zip(forms[name], reader.read_all(encoded), strict=True)
            ]
    pl.DataFrame({name: [png(photo) for photo in forms[name]] for name in FORMS}).write_parquet(work / "forms.parquet")


def train(data: Path, work: Path, start: str, epochs: float) -> None:
    """Three designs from one start, for the same steps."""
    for name, changes in DESIGNS.items():
        if (work / name / "design").is_dir():
            continue
        schedule = {"schedule": {"peak_lr": 1e-3, "half_size_share": 0.0}}
        told = {"recipe": "tri-clip", "size": "mini", "catalog": str(data / SMALL), "start": start, "epochs": epochs}
        pretrain(Experiment(name="overlays", changes={**schedule, **changes}, **told), work / name)


def features(design: Design, pictures: list[Image.Image]) -> np.ndarray:
    """(N, F) of the image tower."""
    found = []
    with torch.inference_mode():
        for at in range(0, len(pictures), 128):
            batch = design.loader.pictures(pictures[at : at + 128])
            found.append(design.model.look(batch)[0].float().numpy())
    return np.concatenate(found)


def score(data: Path, work: Path) -> dict[str, Any]:
    """Accuracy of type and colour for every design and form, for promotions and lies apart, and how far each falls."""
    train_rows, test = table(data, "train"), table(data, "test")
    forms = pl.read_parquet(work / "forms.parquet")
    lying = np.arange(len(test)) % 2 == 1
    found: dict[str, Any] = {"command": (__doc__ or "").split("\n\n")[1], "rows": len(test), "designs": {}}
    for name in DESIGNS:
        design = Design.from_pretrained(work / name / "design")
        fitted = features(design, [decode(image["bytes"]) for image in train_rows["image"]])
        shown = {form: features(design, [decode(data) for data in forms[form]]) for form in FORMS}
        figures: dict[str, Any] = {}
        for what in ("type", "colour"):
            known_N = train_rows[what].is_not_null().to_numpy()
            labels, class_N = np.unique(train_rows[what].to_numpy()[known_N].astype(str), return_inverse=True)
            said = softmax_regression(fitted[known_N], class_N, np.concatenate(list(shown.values())), 0)
            truth, known_M = test[what].to_numpy(), test[what].is_not_null().to_numpy()
            right = {form: labels[part] == truth for form, part in zip(FORMS, np.split(said, len(FORMS)), strict=True)}
            clean = right["clean"]
            figures[what] = {
                form: {
                    part: {
                        "accuracy": float(right[form][chosen].mean()),
                        "fall": float(clean[chosen].mean() - right[form][chosen].mean()),
                    }
                    for part, chosen in (
                        ("all", known_M),
                        ("promotions", known_M & ~lying),
                        ("lies", known_M & lying),
                    )
                }
                for form in FORMS
            }
        found["designs"][name] = figures
    return found


def main() -> None:
    """One of the three parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("read", "train", "score"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--start")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    match args.part:
        case "read":
            read(args.data, args.work)
        case "train":
            train(args.data, args.work, args.start, args.epochs)
        case "score":
            written = json.dumps(score(args.data, args.work), indent=1)
            print(written)
            if args.out:
                args.out.write_text(written + "\n", "utf-8")


if __name__ == "__main__":
    main()
