"""The door to ONNX Runtime."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor, nn

from shopvl.runtime.engine import Engine, Precision, Run

onnxruntime.disable_telemetry_events()
FILE = "net.onnx"


class OnnxRuntime(Engine):
    """ONNX Runtime on a CPU; export wants `onnx` and `onnxscript` beside it."""

    def export(self, net: nn.Module, example: Tensor, folder: Path) -> None:
        """As `Engine.export` says."""
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about operators of other domains that are not in the net
            torch.onnx.export(
                net,
                (example,),
                str(folder / FILE),
                input_names=["rows"],
                dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
                dynamo=True,
                verbose=False,
            )

    def load(self, folder: Path, precision: Precision, threads: int) -> Run:
        """As `Engine.load` says."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(folder / FILE), options, providers=["CPUExecutionProvider"])

        def run(rows: Tensor) -> list[Tensor]:
            return [torch.from_numpy(output) for output in session.run(None, {"rows": rows.numpy()})]

        return run


ENGINE = OnnxRuntime()
