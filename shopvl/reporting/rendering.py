"""The page's templates. Whatever a template prints is escaped, and loses the control characters that HTML forbids."""

from __future__ import annotations

import functools
import re
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from shopvl.catalog.images import thumbnail

THUMBNAIL_PX = 160

_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def render(template: str, **values: Any) -> Markup:
    """A template of `templates/` with these values, as HTML that is not escaped again."""
    return Markup(_environment().get_template(template).render(values))


@functools.cache
def style() -> Markup:
    """The style sheet of every page."""
    return Markup(resources.files("shopvl.reporting").joinpath("style.css").read_text("utf-8"))


def percent(probability: float) -> str:
    """Never 100% for what is not certain."""
    return f"{100 * min(probability, 0.99):.0f}%" if probability < 1 else "100%"


@functools.cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("shopvl.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["percent"] = percent
    made.globals["thumbnail"] = functools.partial(thumbnail, size_px=THUMBNAIL_PX)
    return made


def _printable(value: object) -> object:
    return value if isinstance(value, Markup) else _FORBIDDEN.sub("", str(value))
