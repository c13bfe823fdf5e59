"""Two trained designs as one that has both image towers side by side, and the words and the head of the first.

    python experiments/shipped/ensemble.py runs/model/final runs/model/together --rows runs/model/rows.parquet \
        --out runs/model/ensemble

Both must have learned one space, the second with the words of the first to begin with: then a picture's embedding is
the mean of what both towers make of it, and search is as good as with both models. What the head knows of whole
pictures and of words by heart is fitted anew, and calibrated.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from shopvl.batch import Batch, Modality
from shopvl.catalog.readers import Catalog, open_catalog
from shopvl.design.design import Design, build
from shopvl.inference.encode import Encoded, encode
from shopvl.recipes.recipe import Recipe
from shopvl.training.stages import refit

MEASURED_ROWS = 512  # whose embeddings say how long each tower's are before they are brought to unit length


def main() -> None:
    """Read two, write one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--rows", type=Path, required=True, help="What both learned from, with its validation split.")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    first, second = (Design.from_pretrained(path) for path in (args.first, args.second))
    design = concat_towers(first, second, open_catalog(args.rows, split="val"))
    refit(design, args.rows, args.out)


def concat_towers(first: Design, second: Design, catalog: Catalog) -> Design:
    """Both towers and what reads them, projected to the same length on the catalog's first pictures."""
    towers = [one.recipe.to_dict()["image"] for one in (first, second)]
    recipe = Recipe.from_dict({**second.recipe.to_dict(), "image": {"kind": "side-by-side", "towers": towers}})
    design = build(recipe, second.tokenizer, second.ontology, random_weights=True)
    design.start_from(first)
    design.labels = second.labels
    model, both = design.model, (first.model, second.model)
    with torch.no_grad():
        maps = [one.model.image_projection.weight / embedding_length(one, catalog) for one in (first, second)]
        model.image_projection.weight.copy_(torch.cat(maps, dim=1))
    for tower, one in zip(model.image_tower.towers, both, strict=True):
        tower.load_state_dict(one.image_tower.state_dict())
    for parts in ("cells", "cell_places"):
        theirs = [tensor for one in both for tensor in getattr(one.head, parts).parameters()]
        nn.utils.vector_to_parameters(nn.utils.parameters_to_vector(theirs), getattr(model.head, parts).parameters())
    model.eval()
    return design


def embedding_length(design: Design, catalog: Catalog) -> float:
    """Mean length of pictures' embeddings before they are brought to one."""
    model = design.model

    def read(batch: Batch, inputs: tuple[Modality, ...]) -> dict[str, Tensor]:
        return {"length": model.image_projection(model.encode_image(batch)[0]).norm(dim=1)}

    found: list[np.ndarray] = []
    for item in encode(design, catalog.batches(), catalog.root, ("image",), read):
        if isinstance(item, Encoded):
            found.append(item.values["length"])
        if sum(map(len, found)) >= MEASURED_ROWS:
            break
    return float(np.concatenate(found).mean())


if __name__ == "__main__":
    main()
