"""Texts that a design writes: on from a beginning, or about a product and nothing but what is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from shopvl.batch import Batch, Pictures, Words, require
from shopvl.catalog.known_properties import known_property
from shopvl.catalog.languages import SMALL_WORDS
from shopvl.data.instructions import telling
from shopvl.design.design import Design
from shopvl.errors import DesignError
from shopvl.inference.grounds import Grounds
from shopvl.models.generation import Begun, GoOn, Text, beams, greedy, likelihoods
from shopvl.models.single_stream import SingleStreamModel
from shopvl.models.text_cross import OverTowersModel
from shopvl.recipes.capabilities import require_capability
from shopvl.recipes.parts.objectives import Instructed

LIMIT = 32  # pieces that are written at most
BEAMS = 4  # texts that are looked at, if not more are asked for
LENGTH_PENALTY = 1.0
What = Literal["title", "sentence"]


@dataclass(frozen=True)
class Written:
    """A text, from its beginning on, and the log-probability of what was written of it."""

    text: str
    logp: float


def writing_model(design: Design) -> SingleStreamModel | OverTowersModel:
    """The model, ready to write. Raises DesignError for a design that has not learned to."""
    require_capability(design.recipe, "write")
    if design.tokenizer.start_id is None or design.tokenizer.end_id is None:
        raise DesignError(f"the pieces of {design.recipe.name} frame no text, and what is written needs an end")
    model = design.model
    assert isinstance(model, SingleStreamModel | OverTowersModel)
    model.eval()
    return model


def beginning(design: Design, count: int) -> Words:
    """What stands before so many titles that nothing is known of: the task, where it is told one, or the start."""
    if told_tasks(design):
        return design.loader.told([telling("title", (), ())] * count)
    return design.loader.words([""] * count).without_end()


def told_tasks(design: Design) -> tuple[str, ...]:
    """What it learned to write when it is told to; nothing where it writes untold."""
    return next((part.tasks for part in design.recipe.objectives if isinstance(part, Instructed)), ())


def go_on(design: Design, begun: Sequence[str], *, count: int = 1, limit: int = LIMIT) -> list[list[Written]]:
    """For each beginning, `""` for none, the `count` likeliest texts that beam search finds, the likeliest first.

    A text stops after `limit` pieces that are written. Raises DesignError for a design that has not learned to write,
    and for a beginning that leaves no place.
    """
    model, tokenizer = writing_model(design), design.tokenizer
    written = []
    with torch.inference_mode():
        for text, pieces in zip(begun, tokenizer.pieces(begun), strict=True):
            places = design.loader.max_tokens - 1 - len(pieces)
            if places < 1:
                raise DesignError(f"{text!r} leaves a model of {places + len(pieces)} pieces no place; shorten it")
            ids_1T = torch.tensor([[tokenizer.start_id, *pieces]], device=design.device)
            line = Words(ids_BT=ids_1T, real_BT=torch.ones_like(ids_1T, dtype=torch.bool))
            read, writer = model.begin(Batch(texts={"title": line}))
            (found,) = beams(read, writer, end=tokenizer.end_id or 0, limit=min(limit, places), width=count)
            written.append([Written(tokenizer.decode([*pieces, *one.ids]), one.logp) for one in found])
    return written


@dataclass(frozen=True)
class Telling:
    """What a writer is told of a product, and what it may say."""

    told: str
    grounds: Grounds


@dataclass(frozen=True)
class WrittenAbout:
    """What was written about a product, the best first; and of what was dropped, what it said beyond what is known."""

    texts: list[Written] = field(default_factory=list)
    beyond: list[str] = field(default_factory=list)


class ProductWriter:
    """Writes about products. What it writes is made of the words of names that are known, and says no other fact.

    A text that does not name the product's category and colour, where they are known, gets them where they are
    likeliest.
    """

    def __init__(self, design: Design) -> None:
        """Raises DesignError for a design that has not learned to write."""
        self.design, self.model = design, writing_model(design)
        self.tokenizer, self.end = design.tokenizer, design.tokenizer.end_id or 0
        self.told_tasks = told_tasks(design)
        self._pieces = lru_cache(maxsize=100_000)(self._pieces_of)

    def write(self, pictures: Pictures | None, tellings: Sequence[Telling], count: int = 1) -> list[WrittenAbout]:
        """`count` different texts at most about each product."""
        with torch.inference_mode():
            begun, go_on = self._begin(pictures, tellings)
            if count == 1:
                first = greedy(begun, go_on, end=self.end, limit=self._limit(begun))
                found = [[text] for text in first]
            else:
                found = self._beams(begun, go_on, count)
            outcomes = [self._outcome(texts, telling, count) for texts, telling in zip(found, tellings, strict=True)]
            again = [row for row, outcome in enumerate(outcomes) if not outcome.texts] if count == 1 else []
            if again:
                rows = begun.rows(torch.tensor(again, device=begun.logits_RV.device))
                for row, texts in zip(again, self._beams(rows, go_on, count), strict=True):
                    outcomes[row] = self._outcome(texts, tellings[row], count)
            return [
                self._complete(begun.rows(torch.tensor([row])), go_on, outcome, tellings[row])
                for row, outcome in enumerate(outcomes)
            ]

    def _begin(self, pictures: Pictures | None, tellings: Sequence[Telling]) -> tuple[Begun, GoOn]:
        if self.told_tasks:
            line = self.design.loader.told([telling.told for telling in tellings])
        else:
            line = beginning(self.design, len(tellings))
        batch = Batch(pictures=pictures, texts={"title": line}).to(self.design.device)
        begun, go_on = self.model.begin(batch)
        return begun.among(torch.stack([self._allowed(telling.grounds) for telling in tellings])), go_on

    def _allowed(self, grounds: Grounds) -> Tensor:
        """(V,) bool: pieces of the words that may be written, and the end."""
        allowed_V = torch.zeros(self.tokenizer.size, dtype=torch.bool, device=self.design.device)
        allowed_V[self.end] = True
        for name in (*grounds.names, *grounds.spelled, *SMALL_WORDS.get(grounds.language, ())):
            allowed_V[list(self._pieces(name))] = True
        return allowed_V

    def _pieces_of(self, name: str) -> tuple[int, ...]:
        (ids,) = self.tokenizer.pieces([name])
        return tuple(ids)

    def _beams(self, begun: Begun, go_on: GoOn, count: int) -> list[list[Text]]:
        width = max(BEAMS, 2 * count)
        limit = self._limit(begun)
        return beams(begun, go_on, end=self.end, limit=limit, width=width, length_penalty=LENGTH_PENALTY)

    def _limit(self, begun: Begun) -> int:
        """How many pieces have a place after what was read."""
        read_B = require(begun.cache.words_B, "the number of words", by="a writer")
        return min(LIMIT, self.design.loader.max_tokens - int(read_B.max()))

    def _outcome(self, texts: Sequence[Text], telling: Telling, count: int) -> WrittenAbout:
        """Those that say what is known, as the names spell it, each once; those that say more of it first."""
        outcome, seen = WrittenAbout(), set()
        for text in texts:
            said = self.tokenizer.decode(text.ids)
            if beyond := telling.grounds.beyond(said):
                outcome.beyond.extend(beyond)
            elif said not in seen:
                seen.add(said)
                outcome.texts.append(Written(said, text.logp))
        outcome.texts.sort(key=lambda one: len(_lacking(one.text, telling.grounds)))
        del outcome.texts[count:]
        return outcome

    def _complete(self, begun: Begun, go_on: GoOn, outcome: WrittenAbout, telling: Telling) -> WrittenAbout:
        """With the category and the colour in every text, each where the design holds it for likeliest."""
        texts, grounds = [], telling.grounds
        for one in outcome.texts:
            for name in _lacking(one.text, grounds):
                words = one.text.split()
                choices = [" ".join([*words[:n], name, *words[n:]]) for n in range(len(words) + 1)]
                if max(map(len, self.tokenizer.pieces(choices))) > self._limit(begun):
                    continue
                logp_K = likelihoods(begun, go_on, self.tokenizer.pieces(choices), end=self.end)[0]
                best = int(logp_K.argmax())
                if not grounds.beyond(choices[best]):
                    one = Written(choices[best], float(logp_K[best]))
            texts.append(Written(self._spelled(one.text, grounds), one.logp))
        return WrittenAbout(list({one.text: one for one in texts if one.text}.values()), outcome.beyond)

    def _spelled(self, text: str, grounds: Grounds) -> str:
        for name in grounds.names:
            if not name.replace(" ", "").isalnum():  # pieces part "t-shirt" at its hyphen
                apart = self.tokenizer.decode(self._pieces(name))
                text = text.replace(apart, name)
        return grounds.spell(text)


def _lacking(text: str, grounds: Grounds) -> list[str]:
    """Names of the narrowest category and of the colour, where they are known and the text says neither of them."""
    facts, said = grounds.ontology.facts, set(grounds.said(text))
    nodes = sorted((n for n in grounds.facts if facts[n].kind == "category"), key=lambda n: len(facts[n].path))
    values = [n for n in sorted(grounds.facts) if facts[n].kind == "value"]
    wanted = [*nodes[-1:], *(n for n in values if known_property(facts[n].property).makes_variants)]
    return [facts[n].path[-1] if facts[n].kind == "category" else facts[n].value for n in wanted if n not in said]
