"""The words of the interface in one language, and what the catalog's own words are called in it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from shopvl.catalog.cells import folded, path_of
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.vocabulary import CATEGORY, UNKNOWN

LANGUAGES = ("en", "zh")


@cache
def _texts(language: str) -> dict[str, Any]:
    texts: dict[str, Any] = yaml.safe_load(Path(__file__).with_name(f"{language}.yaml").read_text("utf-8"))
    return texts


def widget_words(language: str) -> dict[str, str]:
    """What Gradio's own widgets say on a page in that language, in a browser that is set to English."""
    return dict(_texts(language)["widgets"])


class Translations:
    """Texts by key (`review.accept`), and names of properties and values; ids where a language has no name."""

    def __init__(self, language: str, ontology: Ontology) -> None:
        self.language, self.ontology = language, ontology
        self._values = {
            (folded(prop.id), folded(value.id)): value.name(language) or value.id
            for prop in ontology.properties
            for value in prop.values
        }

    def __call__(self, key: str, **values: object) -> str:
        """The text of that key, with what stands in its braces."""
        found: Any = _texts(self.language)
        for step in key.split(".", maxsplit=2):
            found = found[step]
        text = str(found)
        return text.format(**values) if values else text

    def property(self, name: str) -> str:
        """What a property is called."""
        if folded(name) == CATEGORY:
            return self("category")
        known = self.ontology.property(name)
        return (known.name(self.language) or known.id) if known else name

    def value(self, name: str, value: str) -> str:
        """What a value is called; a category by all steps of its path."""
        if value == UNKNOWN:
            return self("product.nothing")
        if folded(name) != CATEGORY:
            return self._values.get((folded(name), folded(value)), value)
        path = path_of(value) or ()
        nodes = [self.ontology.category(path[: depth + 1]) for depth in range(len(path))]
        steps = [
            (node.name(self.language) or node.path[-1]) if node else own for node, own in zip(nodes, path, strict=True)
        ]
        return " › ".join(steps)

    def short(self, name: str, value: str) -> str:
        """The same, of a category only the last step."""
        return self.value(name, value).split(" › ")[-1]

    def share(self, probability: float) -> str:
        """A probability; never a certainty that was rounded into one."""
        return "> 99%" if probability >= 0.995 else "< 1%" if probability < 0.005 else f"{probability:.0%}"
