"""How Sphinx builds the site: `make docs` writes docs/_build/index.html, which opens without network."""

import os
import re
from pathlib import Path

from sphinx.application import Sphinx

import shopvl

project, author = "shopvl", "the shopvl developers"
copyright = "the shopvl developers, Apache-2.0"
version = release = shopvl.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"shopvl {version}"
html_copy_source = html_show_sphinx = False
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": False}
HERE = Path(__file__).parent
REPOSITORY = "https://github.com/shopvl/shopvl/blob/main/"  # of files that are not in the site
README_HERE = "@README@"


def _with_links(app: Sphinx, docname: str, source: list[str]) -> None:
    """README as the first page, and links of all pages to where they lead in the site."""
    page = source[0].replace(README_HERE, (HERE.parent / "README.md").read_text("utf-8"))
    base = HERE.parent if README_HERE in source[0] else HERE

    def led(match: re.Match[str]) -> str:
        target = (base / match[1]).resolve()
        if "://" in match[1] or match[1].startswith("#"):
            return match[0]
        if target.suffix == ".md" and not target.is_relative_to(HERE):
            return f"]({REPOSITORY}{target.relative_to(HERE.parent)})"
        return f"]({os.path.relpath(target, HERE)})"

    source[0] = re.sub(r"\]\(([^)\s]+)\)", led, page)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _with_links)
