"""Runtimes beside PyTorch that run an exported net on a CPU: one interface, and a module for each."""

from __future__ import annotations

import platform
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

Precision = Literal["float32", "bfloat16", "int8"]
Run = Callable[[Tensor], list[Tensor]]


class Engine(ABC):
    """A runtime, its library imported. Nets are functions of one tensor, any number of rows, to a tuple of tensors."""

    @abstractmethod
    def export(self, net: nn.Module, example: Tensor, folder: Path) -> None:
        """Write the net into an empty folder. The example has at least two rows."""

    def quantize(self, exported: Path, rows: Tensor, folder: Path, *, far: float) -> None:
        """Write an exported net into an empty folder as one that multiplies in int8, with the ranges of `rows`.

        As many of its first layers stay in floating point as it takes to move the outputs of `rows` by at most `far` of
        their norm; where all would have to, what is written is further off.
        """
        raise NotImplementedError(f"{type(self).__name__} does not quantize")

    @abstractmethod
    def load(self, folder: Path, precision: Precision, threads: int) -> Run:
        """What was exported, or quantized, ready to run."""


@dataclass(frozen=True)
class Library:
    """A runtime by name, known without importing it."""

    name: str
    distributions: tuple[str, ...]  # that it needs; its version is that of the first
    precisions: tuple[Precision, ...]

    @property
    def lacking(self) -> list[str]:
        """Distributions that are not installed."""
        return [name for name in self.distributions if _version(name) is None]

    @property
    def version(self) -> str | None:
        """None where it is not installed."""
        return _version(self.distributions[0])

    def engine(self) -> Engine:
        """Raises ImportError where it is not installed."""
        engine: Engine = import_module(f"shopvl.runtime.{self.name}").ENGINE
        return engine

    def ways(self, bfloat16: bool, int8: bool) -> list[Precision]:
        """What it computes in where fewer bits are wanted, or not; what is not always near comes first."""
        half: Precision = "bfloat16" if bfloat16 and "bfloat16" in self.precisions else "float32"
        return ["int8", half] if int8 and "int8" in self.precisions else [half]


LIBRARIES = (
    Library("onnx", ("onnxruntime", "onnx", "onnxscript"), ("float32",)),
    Library("openvino", ("openvino",), ("float32", "bfloat16", "int8")),
)


def is_exporting() -> bool:
    """Whether a net is being read for another runtime, which has faster operators of its own than ours for PyTorch."""
    return bool(torch.compiler.is_compiling() or torch.jit.is_tracing())


def machine_name() -> str:
    """What the speed of a net depends on: the processor, what torch uses of it, torch itself, and threads."""
    able = sorted(name for name, has in torch.cpu.get_capabilities().items() if has is True)
    return " ".join([_processor(), *able, torch.__version__, f"{torch.get_num_threads()} threads"])


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
