"""What pictures say to statements about products: that it is so, that it is otherwise, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image

from shopvl.batch import VERDICTS
from shopvl.catalog.cells import folded
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.queries import facts_named
from shopvl.data.places import to_phrases
from shopvl.data.relations import LONGEST, statement_of
from shopvl.data.rewriting import phrases
from shopvl.design.design import Design
from shopvl.errors import DesignError
from shopvl.inference.locate import FoundPlace, found_places
from shopvl.models.single_stream import SingleStreamModel
from shopvl.recipes.capabilities import require_capability


@dataclass(frozen=True)
class Verified:
    """A statement, and what a picture says to it."""

    statement: str  # `property: value`
    verdict: str  # one of VERDICTS, the likeliest
    shares: tuple[float, ...]  # probabilities of the VERDICTS
    places: tuple[FoundPlace, ...]  # where one sees it, the best first; none where it is not seen


def verify(design: Design, pictures: Sequence[Image.Image], statements: Sequence[str]) -> list[list[Verified]]:
    """Each statement, `property: value`, about each RGB picture, each judged by itself.

    Raises DesignError for a design that has not learned to judge statements, and for a statement about no property that
    it knows.
    """
    require_capability(design.recipe, "verify")
    model, loader = design.model.eval(), design.loader
    assert isinstance(model, SingleStreamModel)
    told = [as_learned(statement, design.ontology) for statement in statements]
    verified: list[list[Verified]] = [[] for _ in pictures]
    seen = loader.pictures(pictures).to(design.device)
    for statement, words in zip(statements, told, strict=True):
        asked = to_phrases(loader.tokenizer, [[words]] * len(pictures), LONGEST).to(design.device)
        with torch.inference_mode():
            scores_BP1, boxes_BP4, made_B13 = (each.cpu() for each in model.relate(replace(seen, phrases=asked)))
        each = zip(verified, pictures, scores_BP1.sigmoid(), boxes_BP4, made_B13.softmax(-1), strict=True)
        for judged, picture, scores_P1, boxes_P4, shares_13 in each:
            verdict = VERDICTS[int(shares_13[0].argmax())]
            places = found_places(scores_P1[:, 0], boxes_P4, picture.size, loader.size_px)
            seen_places = () if verdict == "not seen" else places
            judged.append(Verified(statement, verdict, tuple(shares_13[0].tolist()), seen_places))
    return verified


def as_learned(statement: str, ontology: Ontology) -> str:
    """`Color: Navy` as the design has learned to read it: `colour: navy`. Raises DesignError where it names no
    property of the ontology, or no value."""
    name, colon, value = (part.strip() for part in statement.partition(":"))
    prop = ontology.property(name) if colon and value else None
    if prop is None:
        known = ", ".join(sorted(folded(each.name("en") or each.id) for each in ontology.properties))
        raise DesignError(f"{statement!r} is no statement; say PROPERTY: VALUE, of one of the properties {known}")
    return f"{folded(prop.name('en') or prop.id)}: {folded(value)}"


def statements_in(title: str, ontology: Ontology) -> list[tuple[str, str]]:
    """The values that a title names: its words, and the statement that they make."""
    parts = phrases(title, facts_named(title, ontology), ontology)
    named = [(part.text, part.fact) for part in parts if part.fact is not None]
    made = [(text, statement_of(fact, ontology)) for text, fact in named if ontology.facts[fact].kind == "value"]
    return [(text, statement) for text, statement in made if statement is not None]
