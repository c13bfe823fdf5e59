"""What opening a model folder may cost: a recipe from a stranger claims sizes, and the file of its weights shows them.

A model has as many numbers as the file, up to what is built beside them, so whatever asks for far more is refused
before it is allocated. Nothing is asked of a network either: a folder brings all that it needs.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from shopvl.errors import DesignError
from shopvl.recipes.recipe import Recipe

LARGEST = 10_000_000  # number that a recipe or a tower's configuration may state
SIDE_PX = 2048
TIMES, BESIDE = 4, 16_000_000  # as many numbers as the weights' file holds, and so many more
PARTS_BESIDE = 2000  # tensors more than there are in the file
ONE_STEP = 1 << 26  # numbers that one operation may make in any case: 256 MB
MADE = {"empty", "empty_strided", "zeros", "ones", "full", "rand", "randn", "randint", "new_empty", "new_zeros"}
CODE_OR_PLACE = {  # of a transformers configuration: where it came from, and code that a hub would bring
    "_name_or_path",
    "auto_map",
    "quantization_config",
    "attn_implementation",
    "_attn_implementation",
    "_attn_implementation_internal",
    "experts_implementation",
    "_experts_implementation",
}
TIMM_FORBIDDEN = ("checkpoint", "cache_dir", "pretrained")  # in the names of options: files and downloads


def checked_claims(recipe: Recipe, towers: Mapping[str, dict[str, Any]], folder: Path) -> dict[str, dict[str, Any]]:
    """The configurations of transformers towers without what names code. Raises DesignError for numbers that no model
    has, and for a tower that is not in the folder."""
    for path, value in _values(recipe.to_dict()):
        side = SIDE_PX if "size_px" in path else LARGEST
        if isinstance(value, int) and abs(value) > side:
            raise DesignError(f"{folder} is no model that can be opened: {'.'.join(path)} is {value}, above {side}")
    plain = {side: _plain(config) for side, config in towers.items()}
    for path, value in _values(plain):
        told = f"{folder} is no model that can be opened: {'.'.join(path)[:100]} of its towers is {value!r:.60}"
        if isinstance(value, int) and abs(value) > LARGEST:
            raise DesignError(f"{told}, above {LARGEST}")
        if isinstance(value, str) and any(mark in value for mark in "/:\\"):
            raise DesignError(f"{told}, a place outside the folder, which is not asked for anything")
        if value and any("pretrained" in step for step in path):
            raise DesignError(f"{told}, which asks for a download")
    _check_towers(recipe, plain, folder)
    return plain


def _check_towers(recipe: Recipe, towers: Mapping[str, dict[str, Any]], folder: Path) -> None:
    values = recipe.to_dict()
    for role, part in _parts(values):
        kind, name = str(part["kind"]), str(part.get("name", ""))
        named = f"{folder} names the {kind} {name[:100]!r}"
        if kind in ("transformers-image", "transformers-text") and not towers.get(role):
            raise DesignError(
                f"{named} but does not hold its configuration, and opening a model asks no network; save it again "
                "where it was trained"
            )
        if kind == "timm-image":
            if ":" in name and not towers.get(role):
                raise DesignError(
                    f"{named}, which is not in the folder, and opening a model asks no network; train it with the name "
                    "that timm itself has for the net"
                )
            odd = [option for option in part["options"] if any(word in option for word in TIMM_FORBIDDEN)]
            if odd:
                raise DesignError(f"{named} with the option {odd[0]!r}, which reads files from elsewhere; leave it out")


def _parts(values: Any, role: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every part of a recipe that has a kind, by its role; those within others have none."""
    if isinstance(values, dict):
        if "kind" in values:
            yield role, values
        for name, value in values.items():
            yield from _parts(value, name if not role and name in ("image", "text") else "-")
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _parts(value, "-")


def _plain(config: Any) -> Any:
    if isinstance(config, dict):
        return {name: _plain(value) for name, value in config.items() if name not in CODE_OR_PLACE}
    return [_plain(value) for value in config] if isinstance(config, list) else config


def _values(values: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else None
    if items is None:
        yield path, values
    else:
        for name, value in items:
            yield from _values(value, (*path, str(name)))


@contextmanager
def within(tensors: Mapping[str, Tensor], folder: Path) -> Iterator[None]:
    """Refuse what asks for far more than these weights, before it is allocated. Raises DesignError."""
    numbers = sum(tensor.numel() for tensor in tensors.values())
    most, parts = TIMES * numbers + BESIDE, TIMES * len(tensors) + PARTS_BESIDE
    thread, seen = threading.get_ident(), set[int]()
    counted = 0
    too_large = DesignError(
        f"{folder} claims a model far larger than the {numbers:,} numbers of its weights; copy the folder again or "
        "train it anew"
    )

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal counted
        if parameter is not None and threading.get_ident() == thread and id(parameter) not in seen:
            seen.add(id(parameter))
            counted += parameter.numel()
            if counted > most or len(seen) > parts:
                raise too_large

    hook = register_module_parameter_registration_hook(count)
    try:
        with _Bounded(max(most, ONE_STEP), too_large):
            yield
    finally:
        hook.remove()


class _Bounded(TorchFunctionMode):
    """Raises `too_large` for an operation that would make more numbers than that."""

    def __init__(self, most: int, too_large: DesignError) -> None:
        super().__init__()
        self.most, self.too_large = most, too_large

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if _made(getattr(func, "__name__", ""), args, kwargs or {}) > self.most:
            raise self.too_large
        return func(*args, **(kwargs or {}))


def _made(name: str, args: Any, kwargs: Mapping[str, Any]) -> int:
    """How many numbers an operation makes, of those that can make many more than they are given."""
    if name in MADE:
        sizes = [*(part for part in args if isinstance(part, list | tuple)), *filter(None, [kwargs.get("size")])]
        return math.prod(sizes[0] if sizes else [part for part in args if isinstance(part, int)])
    if name in ("arange", "linspace", "eye"):
        return int(max((abs(part) for part in args if isinstance(part, int | float)), default=0))
    if name == "conv2d" and len(args) > 3:
        pixels, weight, _, stride = args[:4]
        steps = stride if isinstance(stride, tuple) else (stride, stride)
        sides = [side // step + 1 for side, step in zip(pixels.shape[2:], steps, strict=False)]
        return int(pixels.shape[0] * weight.shape[0] * math.prod(sides))
    if name == "linear":
        return int(math.prod(args[0].shape[:-1]) * args[1].shape[0])
    if name in ("matmul", "bmm", "mm"):
        return int(math.prod(args[0].shape[:-1]) * args[1].shape[-1])
    return 0
