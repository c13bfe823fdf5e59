"""How Sphinx builds the site: `make docs` writes docs/_build/index.html, which opens without network."""

import sys
from pathlib import Path

from sphinx.application import Sphinx

import shopvl

sys.path.insert(0, str(Path(__file__).parent))
from written import written

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
# what scikit-learn adds to every estimator has texts that link to its own pages
autodoc_default_options = {
    "members": True,
    "show-inheritance": False,
    "exclude-members": "set_fit_request, set_predict_request, set_predict_proba_request, set_score_request",
}


def _take(app: Sphinx, docname: str, source: list[str]) -> None:
    source[0] = written(source[0])


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _take)
