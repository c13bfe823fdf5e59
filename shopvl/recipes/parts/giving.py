"""What the parts of a recipe give each other, and what is said where one needs what none gives."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol, get_args

Given = Literal[
    # of a product
    "image",
    "title",
    "queries",
    # by image parts
    "image tower",
    "any size",
    "patches",
    "patch grid",
    "square patches",
    "grid cells",
    "nested cells",
    "regions",
    "whole picture",
    # by text parts
    "text tower",
    "word states",
    "pieces",
    # by fusions
    "two towers",
    "fused words",
    "fused patches",
    "one stream",
    "drawn pairs",
    "dealt pairs",
    "hidden later words",
    "query bridge",
    # by a fusion or a space, by a head
    "embeddings",
    "answers",
    # by a teacher
    "whole pictures",
]
Role = Literal["image", "text", "fusion", "space", "answering", "leave_out", "teacher"]

# what lacks it is {who}; {has} stands where it would come from; {use} are the parts there that give it
SENTENCES: dict[Given, tuple[Role, str]] = {
    "image": ("image", "{who} reads pictures, which the recipe does not; leave it out"),
    "title": ("text", "{who} reads words, which the recipe does not; leave it out"),
    "queries": ("text", "{who} reads queries, which are words, and the recipe does not; leave it out"),
    "image tower": ("image", "{who} needs an image tower ({use}), not {has}"),
    "any size": ("image", "{who} needs an image tower that reads any size ({use}), not {has}"),
    "patches": ("image", "{who} needs patches ({use}), not {has}"),
    "patch grid": ("image", "{who} leaves out patches, which {has} does not have; use one of {use}"),
    "square patches": ("image", "{who} needs pictures as {use}, not {has}"),
    "grid cells": ("image", "{who} needs pictures as {use}, not {has}"),
    "nested cells": ("image", "{who} needs pictures as {use}, not {has}"),
    "regions": ("image", "{who} needs pictures as {use}, not {has}"),
    "whole picture": (
        "image",
        "{who} judges a pair by its first word and first patch, which must show the whole product; "
        "give one of {use}, not {has}",
    ),
    "text tower": ("text", "{who} needs a text tower ({use}), not {has}"),
    "word states": ("text", "{who} goes on from the words of a text tower ({use}), not of {has}"),
    "pieces": ("text", "{who} needs words ({use}), not {has}"),
    "two towers": ("fusion", "{who} reads two towers; use {use} as fusion, not {has}"),
    "fused words": ("fusion", "{who} reads fused words and patches, which {has} does not have; use single-stream"),
    "fused patches": ("fusion", "{who} reads fused words and patches, which {has} does not have; use single-stream"),
    "one stream": ("fusion", "{who} reads the blocks of one stream, which {has} does not have; use single-stream"),
    "drawn pairs": (
        "fusion",
        "{who} draws hard negatives by embeddings of separate towers, which {has} does not have; use {use}",
    ),
    "dealt pairs": ("fusion", "{has} draws its own false pairs; give {who} negatives of hard"),
    "hidden later words": (
        "fusion",
        "{who} predicts words that {has} shows; use a single-stream with a sight of causal, seq2seq, prefix or either, "
        "or one of {use}",
    ),
    "query bridge": ("fusion", "{who} tells words by queries, which {has} does not have; use {use} as fusion"),
    "embeddings": ("fusion", "{who} compares embeddings, which {has} has only with a shared-space; give one as space"),
    "whole pictures": ("teacher", "{who} listens to a teacher that sees whole pictures; give {use} as teacher"),
    "answers": ("answering", "{who} needs a head that answers; give one of {use} as answering"),
}


class RecipePart:
    """A part of a recipe, with its field `kind`: what it gives the others, what it needs of them, its own faults."""

    kind: str

    @property
    def gives(self) -> frozenset[Given]:
        """What other parts may need."""
        return frozenset()

    @property
    def needs(self) -> tuple[Given, ...]:
        """What other parts must give; what comes first is more to the point."""
        return ()

    def faults(self) -> list[str]:
        """What does not fit together within it, as sentences."""
        return []


def heads_fault(what: str, width: int, heads: int) -> list[str]:
    """A sentence where heads do not share a width evenly."""
    return [f"{what} of {width} is not a multiple of {heads} heads"] if width % heads else []


class Surroundings(Protocol):
    """What rules read of a recipe."""

    @property
    def given(self) -> frozenset[Given]: ...
    @property
    def objectives(self) -> Sequence[Any]: ...
    def part_in(self, role: Role) -> Any:
        """The part that stands there, or None."""

    def givers(self, need: Given, role: Role) -> list[str]:
        """Kinds of the parts that could stand there and give it."""


def lacking(who: str, needs: Sequence[Given], recipe: Surroundings) -> list[str]:
    """A sentence for each need of `who` that no part of the recipe gives."""
    told = []
    for need in needs:
        if need not in recipe.given:
            role, sentence = SENTENCES[need]
            part = recipe.part_in(role)
            has = "nothing" if part is None else part.kind
            told.append(sentence.format(who=who, has=has, use=", ".join(recipe.givers(need, role))))
    return told


def givers_among(union: Any, need: Given) -> list[str]:
    """Kinds of the parts of a union (annotated with its discriminator) that give it, whatever their settings."""
    kinds = get_args(get_args(union)[0]) or get_args(union)[:1]
    return [kind.kind for kind in kinds if need in _given_by(kind)]


def _given_by(kind: type) -> frozenset[Given]:
    declared = kind.gives  # type: ignore[attr-defined]  # every member of a union of parts is a RecipePart
    return frozenset() if isinstance(declared, property) else declared
