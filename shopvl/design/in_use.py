"""A design made ready for use: what answers, embeds and searches runs this, not the model as it was trained."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from shopvl.batch import INPUT_CHOICES, Batch, inputs_name
from shopvl.data.collate import title_grams
from shopvl.design.design import Design
from shopvl.errors import DesignError, ShopvlError
from shopvl.models.answering_encoder import AnsweringDualEncoder
from shopvl.models.attention import Block
from shopvl.models.dual_encoder import DualEncoderModel
from shopvl.models.exported import FAR, ExportedLook, Tower, fastest, is_quantized, look_through, towers_in
from shopvl.models.fast_linear import int8_is_here, onednn_is_fast, use_int8, use_onednn
from shopvl.models.fold_batchnorm import fold_batchnorm
from shopvl.models.small_maps import SmallMapConv
from shopvl.runtime.engine import LIBRARIES, Library, Precision
from shopvl.text.prompts import questions_of

if TYPE_CHECKING:
    from shopvl.synthetic.generate import ShopItem

Runtime = Literal["auto", "torch", "onnx", "openvino"]
EXAMPLES = 2  # pictures that a tower is watched with
RANGES, CHECKS, DRAWN_PX = 64, 8, 96  # drawn products that give the ranges of int8, or check outputs; pictures' side
ASKED = 16  # questions about the latter give the ranges of blocks
LOADED_FROM, MEASURED_FROM = 500, 3000  # products, from which on loading a runtime, or exporting and measuring, pays


def in_use(
    design: Design, runtime: Runtime = "auto", *, bfloat16: bool = False, int8: bool = False, rows: int = 0
) -> Design:
    """The same answers up to rounding, faster; the given design is not changed, and the name stays.

    `auto` runs each image tower in what was measured to be fastest on this machine, if many `rows` are to come, and
    measures where it has not. `bfloat16` says that the caller computes in it (`torch.autocast`): runtimes may, too.
    With `int8`, towers, and blocks that answer, may multiply in it where outputs stay near, with ranges that drawn
    products give. Weights that
    need not change are shared with the design, not copied. One that is ready is returned as it is. Raises ShopvlError
    for a runtime that is not installed, cannot run a tower or has no int8.
    """
    if design.source is not None:
        return design
    shared = {id(tensor): tensor for tensor in chain(design.model.parameters(), design.model.buffers())}
    model = copy.deepcopy(design.model, shared).eval()
    pictured = "image" in design.recipe.inputs
    run = _shown(model, _examples(design)) if pictured else list[Tensor]
    fold_batchnorm(model, run)
    if design.device.type == "cpu":
        _prepare_convolutions(model)
        wanted = _Wanted(runtime, bfloat16, int8 and pictured, rows)
        for tower in _towers(design, model, wanted) if wanted.int8 else towers_in(model, run):
            if (look := wanted.look(tower)) is not None:
                tower.use(look)
        if int8 and int8_is_here():
            parts = [part for part in model.modules() if isinstance(part, Block)]
            parts += [model.head.cells] if isinstance(model, AnsweringDualEncoder) else []
            use_int8(model, parts, _answered(design, model), FAR["int8"])
        if onednn_is_fast():
            use_onednn(model)
    elif runtime not in ("auto", "torch"):
        raise ShopvlError(f"--runtime {runtime} is for the CPU; leave it out on {design.device.type}")
    return replace(design, model=model, source=design)


def checked_runtime(name: str) -> Runtime:
    """Raises ShopvlError for a name that is none."""
    for known in get_args(Runtime):
        if name == known:
            return known
    raise ShopvlError(f"--runtime takes {', '.join(get_args(Runtime))}, not {name!r}")


@dataclass(frozen=True)
class _Wanted:
    """How towers are to be run."""

    runtime: Runtime
    bfloat16: bool
    int8: bool
    rows: int

    def __post_init__(self) -> None:
        if self.int8 and not any("int8" in library.precisions for library in self._libraries):
            raise ShopvlError(
                "int8 wants OpenVINO: pip install 'shopvl[fast]', and leave --runtime out; or leave int8 out"
            )

    @cached_property
    def _libraries(self) -> Sequence[Library]:
        """Those to choose from."""
        if self.runtime == "torch":
            return ()
        if self.runtime == "auto":
            return [library for library in LIBRARIES if not library.lacking]
        (library,) = (library for library in LIBRARIES if library.name == self.runtime)
        if library.lacking:
            raise ShopvlError(
                f"--runtime {self.runtime} wants {', '.join(library.lacking)}, which is not installed; "
                "pip install 'shopvl[fast]', or leave --runtime out"
            )
        return [library]

    def has_int8(self, tower: Tower) -> bool:
        """Whether its net in int8 is there."""
        return all(is_quantized(tower, one) for one in self._libraries if "int8" in one.precisions)

    def look(self, tower: Tower) -> ExportedLook | None:
        """None: the tower's own, through PyTorch."""
        choices = [(one, told) for one in self._libraries for told in one.ways(self.bfloat16, self.int8)]
        if self.runtime == "auto":
            if self.rows < LOADED_FROM:
                return None
            try:
                best = fastest(tower, choices, bfloat16=self.bfloat16, measures=self.rows >= MEASURED_FROM)
            except OSError:  # a cache folder that cannot be written
                return None
            return None if best is None else _look(tower, *best)
        for library, told in choices:
            try:
                return _look(tower, library, told)
            except DesignError:
                if told != "int8":
                    raise
        return None


def _look(tower: Tower, library: Library, precision: Precision) -> ExportedLook:
    try:
        return look_through(tower, library, precision)
    except (OSError, RuntimeError) as fault:
        first_line = str(fault).strip().splitlines()[0] if str(fault).strip() else type(fault).__name__
        name = type(tower.module).__name__
        raise ShopvlError(f"{library.name} cannot run the tower {name}: {first_line}; use --runtime torch") from fault


def _examples(design: Design) -> Batch:
    """Pictures on which any two nets differ: noise."""
    noise = np.random.default_rng(0).integers(0, 256, (EXAMPLES, *design.loader.size_px, 3), dtype=np.uint8)
    return design.loader.pictures([Image.fromarray(pixels) for pixels in noise]).to(design.device)


def _towers(design: Design, model: nn.Module, wanted: _Wanted) -> list[Tower]:
    """The towers, each with pictures of drawn products: of many where it is still to be made one in int8."""
    for count in (CHECKS, RANGES):
        pictures = [item.image for item in _drawn(count)]
        towers = towers_in(model, _shown(model, design.loader.pictures(pictures).to(design.device)))
        if all(map(wanted.has_int8, towers)):
            break
    return towers


@lru_cache(maxsize=2)
def _drawn(count: int) -> list[ShopItem]:
    from shopvl.synthetic.generate import draw_item  # who asks about one product needs none

    return [draw_item(number, 0, DRAWN_PX) for number in range(count)]


def _shown(model: nn.Module, batch: Batch) -> Callable[[], Sequence[Tensor]]:
    """All that the model's parts for pictures make of them."""

    def run() -> Sequence[Tensor]:
        if isinstance(model, DualEncoderModel):
            pooled_BW, cells = model.encode_image(batch)
            return [pooled_BW, *cells]
        return [model.picture(batch)[0]]

    return run


def _answered(design: Design, model: nn.Module) -> Callable[[], Sequence[Tensor]]:
    """What the model's blocks make of drawn products, from all their inputs and from each alone."""
    choices = [choice for choice in INPUT_CHOICES if set(choice) <= set(design.recipe.inputs)]
    items = _drawn(CHECKS)
    titles = [item.title for item in items]
    batch = Batch(texts={"title": design.loader.words(titles)}, title_grams_BG=title_grams(titles))
    if "image" in design.recipe.inputs:
        batch = replace(batch, pictures=design.loader.pictures([item.image for item in items]).pictures)
    questions = questions_of(design.ontology)[:ASKED] if isinstance(model, AnsweringDualEncoder) else []

    def run() -> Sequence[Tensor]:
        if not isinstance(model, AnsweringDualEncoder):
            return [model.features(batch, choices)[inputs_name(choice)] for choice in choices]
        logp = model.answer(batch, model.prepare(design.loader.questions(questions)), choices)
        return [logp_BQK.exp() for logp_BQK in logp.values()]

    return run


def _prepare_convolutions(model: nn.Module) -> None:
    for part in model.modules():
        if isinstance(part, SmallMapConv):
            part.cache_parts()
        if isinstance(part, nn.Conv2d):
            # up to a third faster on a CPU; a new weight, for the old one may be that of a model that trains on
            weight = part.weight.detach().contiguous(memory_format=torch.channels_last)
            part.weight = nn.Parameter(weight, requires_grad=False)
