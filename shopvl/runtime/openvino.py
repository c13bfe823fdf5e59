"""The door to OpenVINO.

int8 is static quantization (arXiv:1712.05877): a scale per output channel for weights, and one range for all that a
convolution reads, the widest over examples and a little more. The convolutions that come first stay in floating point,
as many as outputs near those of float32 take: what they do wrong, all others read. The first, which reads the pictures,
always does: that halves the error for a tenth of the gain. They are in bfloat16 where the processor multiplies in it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import torch
from openvino import opset13 as operators
from openvino._offline_transformations import apply_moc_transformations
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from openvino.passes import ConstantFolding, Manager
from torch import Tensor, nn

from shopvl.runtime.engine import Engine, Precision, Run

FILE = "net.xml"
HINTS: dict[Precision, str] = {"float32": "f32", "bfloat16": "bf16"}
CONVOLUTIONS = {"Convolution": 1, "GroupConvolution": 2}  # axes of the weights before those that a channel sums over
ROOM = 1.2  # of the widest range seen: products of other shops reach further than examples
LEVELS_READ, LEVELS_WEIGHED, HIGHEST = 256, 255, 127
ROWS_AT_ONCE = 8


class OpenVino(Engine):
    """OpenVINO on a CPU."""

    def export(self, net: nn.Module, example: Tensor, folder: Path) -> None:
        """As `Engine.export` says. Not through `openvino.convert_model`, which sends statistics of use."""
        front_end = FrontEndManager().load_by_framework("pytorch")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the tracer, about shapes that are constant here
            traced = TorchScriptPythonDecoder(net, example_input=example)  # is read until the end of the conversion
            model = front_end.convert(front_end.load(traced))
        model.reshape({0: openvino.PartialShape([-1, *example.shape[1:]])})
        _simplify(model)
        openvino.save_model(model, folder / FILE, compress_to_fp16=False)

    def quantize(self, exported: Path, rows: Tensor, folder: Path, *, far: float) -> None:
        """As `Engine.quantize` says."""
        file = str(exported / FILE)
        ranges, own = _ranges(exported, rows), _outputs(file, rows, "float32")
        for spared in range(1, max(2, len(ranges))):
            model = _quantized(file, ranges, spared)
            said = _outputs(model, rows, "int8")
            if all(
                np.linalg.norm(one - same) <= far * np.linalg.norm(one) for one, same in zip(own, said, strict=True)
            ):
                break
        openvino.save_model(model, folder / FILE, compress_to_fp16=False)

    def load(self, folder: Path, precision: Precision, threads: int) -> Run:
        """As `Engine.load` says."""
        request = _request(str(folder / FILE), precision, threads)

        def run(rows: Tensor) -> list[Tensor]:
            outputs = request.infer({0: rows.numpy()}, share_inputs=True)
            return [torch.from_numpy(array) for array in outputs.values()]

        return run


def _simplify(model: openvino.Model) -> None:
    """What is known at this size of pictures is computed once, and a border of zeros becomes part of the convolution
    that reads it: between the two, no whole numbers could be read."""
    passes = Manager()
    passes.register_pass(ConstantFolding())
    passes.run_passes(model)
    apply_moc_transformations(model, cf=True)  # as `openvino.convert_model` does


def _request(model: openvino.Model | str, precision: Precision, threads: int) -> Any:
    told = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": HINTS.get(precision) or _hint_beside_int8(),
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,  # or several processes would share one core
    }
    return _core().compile_model(model, "CPU", told).create_infer_request()


def _hint_beside_int8() -> str:
    able = torch.cpu.get_capabilities()
    return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "f32"


def _quantized(file: str, ranges: Sequence[tuple[float, float]], spared: int) -> openvino.Model:
    """The net of a file; all convolutions but the first `spared` read and weigh whole numbers."""
    model = _core().read_model(file)
    for part, (lowest, highest) in list(zip(_convolutions(model), ranges, strict=True))[spared:]:
        low, high = lowest * ROOM, highest * ROOM
        if low < 0:  # what is signed has as many steps on either side
            high = max(high, -low * HIGHEST / (HIGHEST + 1))
            low = -high * (HIGHEST + 1) / HIGHEST
        else:
            low = 0.0
        _round_to(part.input(0), low, high, LEVELS_READ)
        weights = _values(part.input_value(1))
        axes = tuple(range(CONVOLUTIONS[part.get_type_name()], weights.ndim))
        widest = np.maximum(np.abs(weights).max(axes, keepdims=True), np.finfo(np.float32).tiny)
        _round_to(part.input(1), -widest, widest, LEVELS_WEIGHED)
    model.validate_nodes_and_infer_types()
    return model


def _convolutions(model: openvino.Model) -> list[Any]:
    """In the order in which they run."""
    return [part for part in model.get_ordered_ops() if part.get_type_name() in CONVOLUTIONS]


def _values(constant: Any) -> np.ndarray:
    """What a part of the net gives that reads nothing, such as weights in another shape."""
    values: np.ndarray = _request(openvino.Model([constant], [], "constant"), "float32", 1).infer({})[0]
    return values


def _ranges(exported: Path, rows: Tensor) -> list[tuple[float, float]]:
    """The least and the most that each convolution reads; their maps take megabytes a row."""
    model = _core().read_model(str(exported / FILE))
    own = len(model.outputs)
    model.add_outputs([part.input_value(0) for part in _convolutions(model)])
    ends = [
        [(float(values.min()), float(values.max())) for values in some[own:]]
        for some in _in_parts(model, rows, "float32")
    ]
    return [(min(low for low, _ in of), max(high for _, high in of)) for of in zip(*ends, strict=True)]


def _outputs(model: openvino.Model | str, rows: Tensor, precision: Precision) -> list[np.ndarray]:
    kept = [[values.copy() for values in some] for some in _in_parts(model, rows, precision)]
    return [np.concatenate(parts) for parts in zip(*kept, strict=True)]


def _in_parts(model: openvino.Model | str, rows: Tensor, precision: Precision) -> Iterator[list[np.ndarray]]:
    """All outputs of a net, a few rows at a time; each until the next."""
    request = _request(model, precision, torch.get_num_threads())
    for some in rows.split(ROWS_AT_ONCE):
        yield list(request.infer({0: some.numpy()}).values())


def _round_to(place: Any, low: np.ndarray | float, high: np.ndarray | float, levels: int) -> None:
    """Let what is read there be rounded to so many steps between `low` and `high`."""
    ends = [operators.constant(np.asarray(end, np.float32)) for end in (low, high)]
    place.replace_source_output(operators.fake_quantize(place.get_source_output(), *ends, *ends, levels).output(0))


@lru_cache(maxsize=1)
def _core() -> openvino.Core:
    """One for good: a core that goes takes the stack along on which the process handles signals, and the next one, such
    as that of a data loader's worker that ends, then kills the process."""
    return openvino.Core()


ENGINE = OpenVino()
