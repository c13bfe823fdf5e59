"""The door to OpenVINO."""

from __future__ import annotations

import warnings
from functools import lru_cache
from pathlib import Path

import openvino
import torch
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import Tensor, nn

from shopvl.runtime.engine import Engine, Precision, Run

FILE = "net.xml"
HINTS = {"float32": "f32", "bfloat16": "bf16"}


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
        openvino.save_model(model, folder / FILE, compress_to_fp16=False)

    def load(self, folder: Path, precision: Precision, threads: int) -> Run:
        """As `Engine.load` says."""
        told = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # or several processes would share one core
        }
        request = _core().compile_model(str(folder / FILE), "CPU", told).create_infer_request()

        def run(rows: Tensor) -> list[Tensor]:
            outputs = request.infer({0: rows.numpy()}, share_inputs=True)
            return [torch.from_numpy(array) for array in outputs.values()]

        return run


@lru_cache(maxsize=1)
def _core() -> openvino.Core:
    """One for good: a core that goes takes the stack along on which the process handles signals, and the next one, such
    as that of a data loader's worker that ends, then kills the process."""
    return openvino.Core()


ENGINE = OpenVino()
