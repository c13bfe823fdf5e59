"""Classes found in the modules of a package: a new file there adds one, and no table has to be changed."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")


def module_names(package: ModuleType) -> tuple[str, ...]:
    """Names of the package's modules but `base`, sorted; none of them is imported."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(package.__path__) if module.name != "base"))


def classes(package: ModuleType, base: type[T]) -> tuple[type[T], ...]:
    """The classes in these modules that derive from `base`, by the names of the modules."""
    modules = [import_module(f"{package.__name__}.{name}") for name in module_names(package)]
    return tuple(
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, base) and kind.__module__ == module.__name__
    )
