"""shopvl: multimodal product understanding for e-commerce catalogs. Importing it loads no torch."""

from importlib import import_module
from typing import Any

from shopvl.runtime import torchvision_mend

__version__ = "0.1.0"

# name -> module; resolved on first use, so that `import shopvl` answers at once
_PUBLIC = {
    "RECIPES": "shopvl.recipes",
    "Recipe": "shopvl.recipes",
    "Catalog": "shopvl.catalog.readers",
    "open_catalog": "shopvl.catalog.readers",
    "Ontology": "shopvl.catalog.ontology",
    "Design": "shopvl.design.design",
    "ShopvlError": "shopvl.errors",
}
__all__ = ["__version__", *sorted(_PUBLIC)]

torchvision_mend.install()


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'shopvl' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)
