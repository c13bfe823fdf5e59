"""shopvl: multimodal product understanding for e-commerce catalogs. Importing it loads no torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from shopvl.runtime import torchvision_mend
from shopvl.runtime.collecting import no_collection

__version__ = "0.1.0"

# name -> module; resolved on first use, so that `import shopvl` answers at once
_PUBLIC = {
    "RECIPES": "shopvl.recipes",
    "Recipe": "shopvl.recipes",
    "Catalog": "shopvl.catalog.readers",
    "open_catalog": "shopvl.catalog.readers",
    "Ontology": "shopvl.catalog.ontology",
    "Design": "shopvl.design.design",
    "LoadedModel": "shopvl.loaded",
    "Tag": "shopvl.inference.ask",
    "ProductClassifier": "shopvl.estimator",
    "Reply": "shopvl.inference.ask",
    "load": "shopvl.loaded",
    "open_index": "shopvl.loaded",
    "ShopvlError": "shopvl.errors",
}
__all__ = ["__version__", *sorted(_PUBLIC)]

torchvision_mend.install()

if TYPE_CHECKING:
    from shopvl.catalog.ontology import Ontology as Ontology
    from shopvl.catalog.readers import Catalog as Catalog
    from shopvl.catalog.readers import open_catalog as open_catalog
    from shopvl.design.design import Design as Design
    from shopvl.errors import ShopvlError as ShopvlError
    from shopvl.estimator import ProductClassifier as ProductClassifier
    from shopvl.inference.ask import Reply as Reply
    from shopvl.inference.ask import Tag as Tag
    from shopvl.loaded import LoadedModel as LoadedModel
    from shopvl.loaded import load as load
    from shopvl.loaded import open_index as open_index
    from shopvl.recipes import RECIPES as RECIPES
    from shopvl.recipes import Recipe as Recipe


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'shopvl' has no attribute {name!r}")
    with no_collection():
        return getattr(import_module(_PUBLIC[name]), name)
