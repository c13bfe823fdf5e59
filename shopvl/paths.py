"""Where app/, data_schemas/, prompts/, experiments/ and the model in the box are, and where caches go."""

import os
from pathlib import Path
from typing import Literal

from shopvl.errors import ShopvlError

ResourceDir = Literal["app", "data_schemas", "prompts", "experiments"]
PACKAGE = Path(__file__).parent
SHIPPED = PACKAGE / "shipped"  # the model in the box, a design folder made by `make model`


def resource_dir(name: ResourceDir) -> Path:
    """Folder of that name: under $SHOPVL_HOUSE if set, beside the package in a checkout, else inside the wheel."""
    told = os.environ.get("SHOPVL_HOUSE")
    candidates = [Path(told) / name] if told else [PACKAGE.parent / name, PACKAGE / "_house" / name]
    for folder in candidates:
        if folder.is_dir():
            return folder
    looked = " or ".join(str(folder) for folder in candidates)
    raise ShopvlError(f"the folder {name}/ is not at {looked}; reinstall shopvl or set SHOPVL_HOUSE to a checkout")


def cache_folder() -> Path:
    """Where things are kept that can be made again: $XDG_CACHE_HOME/shopvl, or ~/.cache/shopvl."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "shopvl"
