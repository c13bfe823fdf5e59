"""Where app/, data_schemas/, prompts/, experiments/ and the bundled model are, and where caches go."""

import os
from pathlib import Path
from typing import Literal

from shopvl.errors import ShopvlError

ResourceDir = Literal["app", "data_schemas", "prompts", "experiments"]
PACKAGE = Path(__file__).parent
SHIPPED = PACKAGE / "shipped"  # the bundled model, a design folder made by `make model`


def resource_dir(name: ResourceDir, package: Path = PACKAGE) -> Path:
    """Folder of that name: under $SHOPVL_HOUSE if set, beside the package in a checkout, else inside the wheel."""
    configured = os.environ.get("SHOPVL_HOUSE")
    candidates = [Path(configured) / name] if configured else [package.parent / name, package / "_house" / name]
    for folder in candidates:
        if folder.is_dir():
            return folder
    looked = " or ".join(str(folder) for folder in candidates)
    raise ShopvlError(f"the folder {name}/ is not at {looked}; reinstall shopvl or set SHOPVL_HOUSE to a checkout")


def cache_folder() -> Path:
    """The folder of caches: $XDG_CACHE_HOME/shopvl, or ~/.cache/shopvl."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "shopvl"
