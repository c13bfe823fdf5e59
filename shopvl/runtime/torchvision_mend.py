"""Lets torchvision be imported where its compiled operators do not fit the torch beside it.

A torchvision built for CUDA next to a CPU torch fails at import with `operator torchvision::nms does not exist`,
although all that shopvl (through timm) uses of it is plain Python. The mend waits for the first torchvision import,
tries to load the real operators, and only if that fails declares the two that the import asks for.
"""

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

_NMS = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_kept: list[Any] = []  # a torch Library unregisters its operators when it is collected


def _declare_missing_operators() -> None:
    import torch

    spec = find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return
    compiled = sorted(Path(spec.submodule_search_locations[0]).glob("_C*.so"))
    try:
        for library in compiled:
            torch.ops.load_library(str(library))
        if compiled:
            return
    except OSError:
        pass
    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define(f"nms{_NMS}")
    library.define(f"qnms{_NMS}")
    _kept.append(library)


class _BeforeTorchvision(MetaPathFinder):
    """Sees the first import of torchvision, steps aside for good, and mends before the import goes on."""

    def find_spec(self, fullname: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            _declare_missing_operators()
        return None


def install() -> None:
    """Hook the mend in, once, unless torchvision has been imported already."""
    if "torchvision" not in sys.modules and not any(isinstance(f, _BeforeTorchvision) for f in sys.meta_path):
        sys.meta_path.insert(0, _BeforeTorchvision())
