r"""Put a finished model into the box: its weights rounded, and the card that travels with them.

    python experiments/shipped/export_model.py runs/model/outside --scores runs/model/scores \
        --scores-224 runs/model/scores-224
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from shopvl.design.design import Design
from shopvl.inference.model_card import WEAK_BELOW, model_card
from shopvl.paths import SHIPPED

LIMIT_BYTES = 25_000_000
CHOICES = {"image+title": "picture and title", "image": "picture", "title": "title"}
INTRODUCTION = """\
The model that ships with shopvl. It answers category, colour, usage, gender and season of fashion and beauty products
from a photo, a title, or both, and puts queries, titles and photos into one space for search. It reads titles in
English, Chinese (simplified and traditional), German, French, Spanish, Italian, Portuguese and Dutch.

## What it is for

First answers about a fashion catalog, and a start for a model of your own: `shopvl adapt products.csv` learns a
catalog's own categories and properties from it. Pictures and titles unlike those that it learned from are set aside as
unfamiliar, and what shows or says nothing counts as absent; then nothing is accepted. Answers are calibrated on
products like those it learned from; for a catalog of another kind review 100 to 300 products and run
`shopvl calibrate MODEL CATALOG --corrections FILE`. It says nothing about people: `gender` is whom a seller made the
product for, as sellers wrote it.

## What it learned from

- Fashion Product Images (Param Aggarwal, Kaggle; MIT licence): the train split of 39,698 products at 60x80 px and of
  8,649 of them at 224x224 px; their titles once more in seven other languages and traditional Chinese, by word lists of
  our own. Sellers' labels are noisy (`Navy Blue` and `Blue`), titles are those of an Indian shop, and products with one
  title are always in one split.
- 3,000 drawn products of `shopvl catalog synth`, for Chinese titles and promotions laid over pictures.
- 3,364 phone photos of clothes (Clothing dataset, Alexey Grigorev and contributors; CC0-1.0), and 783 products of the
  demo catalogs of Magento (AFL-3.0), Spree (BSD-3-Clause), Saleor (BSD-3-Clause), Sylius (MIT), eShop (MIT) and AWS
  Retail Demo Store (MIT-0).
- As things that it does not know: 2,102 pictures of Caltech-101 (Fei-Fei Li, Marco Andreetto, Marc'Aurelio Ranzato,
  Pietro Perona; CC BY 4.0), and titles of Oracle's sample schemas (MIT), of Abt-Buy and Amazon-Google (Database Group
  Leipzig; CC BY 4.0) and of the AWS Retail Demo Store (MIT-0).

None of these pictures is in it. Labels of what comes after the drawn products, and titles in other languages, reached
only what reads the towers: linear terms per answer, and the test of what is familiar. The image towers saw all of these
pictures once more without labels, plain and under drawn promotions, to make the same of both.

Two image towers look at a picture side by side: one of shopvl's own for thumbnails, and one that began with the weights
of EfficientNet-Lite0 (Google; Apache-2.0), which had learned ImageNet's photos. Everything was trained further here and
is under the licence of shopvl (Apache-2.0); big matrices are kept as int8, the rest as float16. `make model` trains it
again.
"""


def scores(folder: Path, name: str) -> list[str]:
    """A table of test figures out of what `shopvl evaluate` wrote."""
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text("utf-8"))
    lines = [
        f"## On {metrics['rows']:,} test products, {name}",
        "",
        "| shown | property | accuracy | weighted F1 | ECE | accepted at 95% precision | right of these |",
        "|---|---|---|---|---|---|---|",
    ]
    for choice, told in CHOICES.items():
        for prop, figures in metrics["answers"].get(choice, {}).items():
            right = figures["precision_of_accepted"]
            told_right = "" if right is None else f"{right:.3f}"
            lines.append(
                f"| {told} | {prop} | {figures['accuracy']:.3f} | {figures['weighted_f1']:.3f} "
                f"| {figures['ece']:.3f} | {figures['accepted']:.1%} | {told_right} |"
            )
    full = metrics["retrieval"]["full"]
    lines += ["", "| search, full gallery | R@1 | R@10 |", "|---|---|---|"]
    lines += [
        f"| {way.replace('_', ' ')} | {full[way]['R@1']:.3f} | {full[way]['R@10']:.3f} |"
        for way in ("text_to_image", "image_to_text")
    ]
    pictured = metrics["answers"]["image"]
    weak = [f"{prop} ({told['accuracy']:.0%})" for prop, told in pictured.items() if told["accuracy"] < WEAK_BELOW]
    return [*lines, "", f"Weak from the picture alone: {', '.join(weak) or 'nothing'}.", ""]


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--scores-224", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=SHIPPED)
    args = parser.parse_args()
    Design.from_pretrained(args.model).save(args.out, compact=True)
    design = Design.from_pretrained(args.out)  # rounded, it goes by another name
    head, own, measured = model_card(design).split("\n\n", 2)
    tables = [*scores(args.scores, "60x80 px"), *scores(args.scores_224, "224x224 px")]
    design.save(args.out, "\n".join([head, "", own, "", INTRODUCTION, *tables, measured]), compact=True)
    size = sum(path.stat().st_size for path in args.out.iterdir())
    if size > LIMIT_BYTES:
        raise SystemExit(f"{args.out} is {size / 1e6:.1f} MB, {LIMIT_BYTES / 1e6:.0f} MB is the most that ships")
    print(f"{args.out}: {design.name}, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
