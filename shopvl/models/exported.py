"""Image towers run by another runtime than PyTorch: exported once into the cache folder, and equal up to rounding."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import Tensor, nn

from shopvl.errors import DesignError
from shopvl.files import atomic_write, is_as_made, made_once
from shopvl.models.backbones import TransformersImageTower
from shopvl.models.concat_towers import ConcatTowers
from shopvl.models.inputs import VisionTransformer
from shopvl.models.two_crop import LookingTower, TowerOutput
from shopvl.paths import cache_folder
from shopvl.runtime.engine import Library, Precision, Run, machine_name

FORMAT = 3  # of the files in the cache folder: they are written anew where it rises
MOST_ROWS = 16  # run at once, so that their maps stay in the processor's cache; fewer are filled up to a multiple of 4
TIMED_ROWS, TRIES = 32, 5
FAR: dict[Precision, float] = {"float32": 1e-3, "bfloat16": 0.1, "int8": 0.08}  # of the outputs' norm: no further off
SURELY = 0.9  # of that, for the pictures that a net in int8 is made with: others move it further
WORTH = 0.9  # of PyTorch's time; a smaller gain could be noise
INT8 = "-int8"  # ends the name of such a net's folder
SPEEDS = "speeds.json"  # by machine, milliseconds a picture by way to run it

Encode = Callable[..., TowerOutput]
Choice = tuple[Library, Precision]


@dataclass(frozen=True)
class Tower:
    """An image tower inside a model, and pictures that it saw there (B, 3, Y, X), at least two."""

    module: nn.Module
    seen_B3YX: Tensor

    @property
    def encode(self) -> Encode:
        """One look at pictures."""
        encode: Encode = getattr(self.module, _entry(self.module))
        return encode

    def use(self, encode: Encode) -> None:
        """Let this look at pictures in the module's place."""
        setattr(self.module, _entry(self.module), encode)

    @cached_property
    def folder(self) -> Path:
        """In the cache folder: one for the same weights in the same net at the same size of pictures."""
        digest = hashlib.blake2b(f"{FORMAT} {self.module!r} {tuple(self.seen_B3YX.shape[1:])}".encode(), digest_size=12)
        for name, tensor in sorted(self.module.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return cache_folder() / "towers" / digest.hexdigest()


def _entry(module: nn.Module) -> str:
    return "_encode_once" if isinstance(module, LookingTower) else "encode"


def towers_in(model: nn.Module, run: Callable[[], Any]) -> list[Tower]:
    """The image towers that look at pictures when `run` shows the model some."""
    kinds = LookingTower | VisionTransformer | TransformersImageTower
    modules = [part for part in model.modules() if isinstance(part, kinds) and not isinstance(part, ConcatTowers)]
    seen: dict[nn.Module, Tensor] = {}

    def watched(module: nn.Module, encode: Encode) -> Encode:
        def look(pixels_B3YX: Tensor, *rest: Any) -> TowerOutput:
            seen[module] = pixels_B3YX.clone()
            return encode(pixels_B3YX, *rest)

        return look

    for module in modules:
        setattr(module, _entry(module), watched(module, getattr(module, _entry(module))))
    try:
        with torch.no_grad():
            run()
    finally:
        for module in modules:
            delattr(module, _entry(module))
    return [Tower(module, pixels_B3YX) for module, pixels_B3YX in seen.items()]


class ExportedLook:
    """One look at pictures through a runtime; at pictures of which a tower is shown a part, through the tower."""

    def __init__(self, run: Run, tower: Tower) -> None:
        self.run, self.plain = run, tower.encode
        self.size_px = tower.seen_B3YX.shape[1:]

    def __call__(self, pixels_B3YX: Tensor, kept_BP: Tensor | None = None) -> TowerOutput:
        """As the tower's own: pooled vectors (B, W), and cells (B, P, C)."""
        if kept_BP is not None:
            return self.plain(pixels_B3YX, kept_BP)
        if not len(pixels_B3YX) or pixels_B3YX.shape[1:] != self.size_px:
            return self.plain(pixels_B3YX)
        parts = [self._some(part) for part in pixels_B3YX.float().split(MOST_ROWS)]
        pooled_BW, *cells = parts[0] if len(parts) == 1 else map(torch.cat, zip(*parts, strict=True))
        return pooled_BW, cells

    def _some(self, rows_B3YX: Tensor) -> list[Tensor]:
        """A runtime makes a plan for every number of rows: there are six."""
        B = len(rows_B3YX)
        room = (-B) % (4 if B > 2 else B)
        if room:
            rows_B3YX = torch.cat([rows_B3YX, rows_B3YX[-1:].expand(room, -1, -1, -1)])
        return [output[:B] for output in self.run(rows_B3YX.contiguous())]


class _Net(nn.Module):
    """What is exported of a tower: pixels to a tuple of tensors."""

    def __init__(self, tower: Tower) -> None:
        super().__init__()
        self.module, self.encode = tower.module, tower.encode

    def forward(self, pixels_B3YX: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, Y, X) -> (B, W), (B, P, C), ..."""
        pooled_BW, cells = self.encode(pixels_B3YX)
        return pooled_BW, *cells


def exported(tower: Tower, library: Library) -> Path:
    """The folder of the exported tower, which is written where there is none. Another process that does so is waited
    for."""

    def write(draft: Path) -> None:
        with torch.no_grad():
            library.engine().export(_Net(tower).eval(), tower.seen_B3YX[:2], draft)

    return made_once(_folder(tower, library), write)


def is_quantized(tower: Tower, library: Library) -> bool:
    """Whether there is a net in int8, so that no pictures are needed to make one."""
    return is_as_made(_folder(tower, library, INT8))


def quantized(tower: Tower, library: Library) -> Path:
    """The same in int8, with the ranges that the pictures give which the tower saw when that was first written."""
    plain = exported(tower, library)

    def write(draft: Path) -> None:
        library.engine().quantize(plain, tower.seen_B3YX, draft, far=SURELY * FAR["int8"])

    return made_once(_folder(tower, library, INT8), write)


def _folder(tower: Tower, library: Library, kind: str = "") -> Path:
    return tower.folder / f"{library.name}-{library.version}{kind}"


def look_through(tower: Tower, library: Library, precision: Precision) -> ExportedLook:
    """Raises DesignError for a runtime that gives other outputs than the tower."""
    folder = quantized(tower, library) if precision == "int8" else exported(tower, library)
    look = ExportedLook(library.engine().load(folder, precision, torch.get_num_threads()), tower)
    pixels_B3YX = tower.seen_B3YX[:4].repeat(2, 1, 1, 1).flip(3)  # others than those it was exported with
    with torch.no_grad():
        (own, own_cells), (other, other_cells) = (encode(pixels_B3YX) for encode in (tower.encode, look))
    for one, same in zip((own, *own_cells), (other, *other_cells), strict=True):
        if one.shape != same.shape or (one - same).norm() > FAR[precision] * one.norm().clamp(min=1e-6):
            raise DesignError(
                f"{library.name} {library.version} gives other outputs than PyTorch for the tower "
                f"{type(tower.module).__name__}; use --runtime torch"
            )
    return look


def fastest(tower: Tower, choices: Sequence[Choice], *, bfloat16: bool, measures: bool) -> Choice | None:
    """The choice that is fastest for this tower on this machine; None for PyTorch, which wins a tie.

    It was measured before, or is now if `measures`; what was measured is kept beside the exported tower. One whose
    outputs are too far off is never taken.
    """
    ways = {(library, told): f"{library.name}-{library.version} {told}" for library, told in choices}
    plain = f"torch {'bfloat16' if bfloat16 else 'float32'}"
    known = _kept(tower)
    if not known.keys() >= {plain, *ways.values()}:
        if not measures:
            return None
        looks: dict[str, Encode] = {plain: tower.encode}
        for choice, way in ways.items():
            try:
                looks[way] = look_through(tower, *choice)
            except (RuntimeError, DesignError):  # a net that the library cannot take
                known[way] = math.inf
        known |= timed(looks, tower, bfloat16=bfloat16)
        _keep(tower, known)
    best = min(ways, key=lambda choice: known[ways[choice]], default=None)
    return best if best is not None and known[ways[best]] < WORTH * known[plain] else None


def timed(looks: Mapping[str, Encode], tower: Tower, *, bfloat16: bool) -> dict[str, float]:
    """Milliseconds a picture, the best of a few tries in turns."""
    pixels_B3YX = tower.seen_B3YX[:1].expand(TIMED_ROWS, -1, -1, -1).contiguous()
    best = dict.fromkeys(looks, float("inf"))
    half = torch.autocast("cpu", torch.bfloat16) if bfloat16 else nullcontext()
    with torch.inference_mode(), half:
        for _ in range(TRIES):
            for way, look in looks.items():
                started = time.perf_counter()
                look(pixels_B3YX)
                best[way] = min(best[way], time.perf_counter() - started)
    return {way: seconds / TIMED_ROWS * 1e3 for way, seconds in best.items()}


def _kept(tower: Tower) -> dict[str, float]:
    try:
        kept: dict[str, float] = json.loads((tower.folder / SPEEDS).read_text("utf-8"))[machine_name()]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return kept


def _keep(tower: Tower, speeds: Mapping[str, float]) -> None:
    with FileLock(tower.folder / ".lock"):
        try:
            by_machine = dict(json.loads((tower.folder / SPEEDS).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            by_machine = {}
        with atomic_write(tower.folder / SPEEDS) as draft:
            draft.write_text(json.dumps({**by_machine, machine_name(): speeds}, indent=1), "utf-8")
