"""What goes into a model and what comes out, with the one legend of shape letters.

    B  products in a batch        T  text positions        P  image positions (patches)
    D  width of a vector          H  heads                 V  words in the vocabulary
    K  facts or labels            Y, X  picture (or cell) height and width in pixels
    Q  questions                  I  inputs: picture, title       F  features of a patch
    G  grams of a title

Masks are `True` where something is real. Objectives read `Batch` and `Output`; models read `Batch` and write `Output`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import torch
from torch import Tensor

Modality = Literal["image", "title"]
MODALITIES: tuple[Modality, ...] = ("image", "title")  # the I of `shown_BI`
INPUT_CHOICES: tuple[tuple[Modality, ...], ...] = (("image", "title"), ("image",), ("title",))


def inputs_name(inputs: tuple[Modality, ...]) -> str:
    """`image+title`, `image` or `title`."""
    return "+".join(inputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Token ids of one text per product, padded on the right."""

    ids_BT: Tensor  # int64
    real_BT: Tensor  # bool
    targets_BT: Tensor | None = None  # int64; the true id at masked positions, IGNORED elsewhere
    boxes_BT4: Tensor | None = None  # float32, x0 y0 x1 y1 in [0, 1] of the picture, of words that stand in one

    def to(self, device: torch.device | str) -> Words:
        """The same words on another device."""
        return _moved(self, device)

    def rows(self, chosen: Tensor | slice) -> Words:
        """Only some of the texts, in the order given."""
        targets = None if self.targets_BT is None else self.targets_BT[chosen]
        boxes = None if self.boxes_BT4 is None else self.boxes_BT4[chosen]
        return Words(ids_BT=self.ids_BT[chosen], real_BT=self.real_BT[chosen], targets_BT=targets, boxes_BT4=boxes)


IGNORED = -100  # target value of positions that are not asked (the convention of torch's cross_entropy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """Q questions that every product of a batch is asked, as prompts with one slot, and the K answers there are.

    `slot_Q` is the place of the slot among a prompt's words. A target row sums to 1 over the right answers; all zeros =
    not asked of that product. `written_BQ` is the one right answer that a decoder is to write, or IGNORED.
    """

    prompts: Words  # (Q, T)
    slot_Q: Tensor  # int64
    answers: Words  # (K, T'), names of the answers
    legal_QK: Tensor  # bool
    targets_BQK: Tensor | None = None  # float32
    written_BQ: Tensor | None = None  # int64

    def to(self, device: torch.device | str) -> Questions:
        """The same questions on another device."""
        return _moved(self, device)

    def rows(self, chosen: Tensor | slice) -> Questions:
        """The same questions, with the targets of some products only."""
        targets = None if self.targets_BQK is None else self.targets_BQK[chosen]
        written = None if self.written_BQ is None else self.written_BQ[chosen]
        return replace(self, targets_BQK=targets, written_BQ=written)

    def only(self, number: int) -> Questions:
        """One of the questions, without targets."""
        kept = slice(number, number + 1)
        return Questions(
            prompts=self.prompts.rows(kept),
            slot_Q=self.slot_Q[kept],
            answers=self.answers,
            legal_QK=self.legal_QK[kept],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherOutputs:
    """What a momentum teacher makes of a batch, and what it remembers of earlier ones, all without gradient."""

    embeddings: Mapping[str, Tensor]  # name -> (B, D), unit length
    remembered: Mapping[str, Tensor]  # name -> (M, D), of M earlier products
    title_group_M: Tensor  # int64, their titles
    share: float  # of a target that is the teacher's
    asked_logits_NV: Tensor | None = None  # its guesses at hidden words


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """B products as tensors. Fields that a recipe does not ask for are None.

    `facts_BK` says which of the ontology's K facts (category nodes, property values) hold for a product, and
    `query_facts_BK` which of them its query asks for: query i fits product j when j has every fact that i asks for.
    `title_group_B` numbers the titles (equal number = same text), so that twins are not each other's negatives.
    """

    pixels_B3YX: Tensor | None = None  # float32 in [0, 1]
    came_B3YX: Tensor | None = None  # as they came, where text laid over them was painted out in `pixels_B3YX`
    closer_B3YX: Tensor | None = None  # the middle of these, closer
    shares_BP: Tensor | None = None  # float32, the share of product in each patch
    kept_BP: Tensor | None = None  # bool: patches that the encoder sees; None = all
    hidden_BP: Tensor | None = None  # bool: patches whose pixels or features are to be guessed
    cells_BP3YX: Tensor | None = None  # float32 in [0, 1]: pieces of the picture, each of one size, cut beforehand
    boxes_BP5: Tensor | None = None  # float32: their x0, x1, y0, y1 and area, all as shares of the picture
    clean: Batch | None = None  # the same batch before its cells were changed for a task
    puzzles: Mapping[str, Tensor] = field(default_factory=dict)  # task on the cells -> (B,) int64, the right answer
    draws_2BB: Tensor | None = None  # float32 noise that decides on hard negatives; a picture per title, and reverse
    taught: TeacherOutputs | None = None
    looks_BTP: Tensor | None = None  # float32: how much each word of the title looks at each patch
    overlaid: Batch | None = None  # the same pictures (and `kept_BP`) with promotions drawn on them
    texts: Mapping[str, Words] = field(default_factory=dict)
    title_grams_BG: Tensor | None = None  # int64, 0 for none (`text.grams`)
    title_group_B: Tensor | None = None  # int64
    query_group_B: Tensor | None = None  # int64
    category_group_B: Tensor | None = None  # int64; equal number = same sub-category
    facts_BK: Tensor | None = None  # bool
    query_facts_BK: Tensor | None = None  # bool
    paired_B: Tensor | None = None  # bool: picture and title belong together; None = all do
    blended: bool = False  # pictures are blends of two each, as none is in use
    apart: bool = False  # pictures and texts are each embedded alone, also where a model could fuse them
    questions: Questions | None = None
    shown_BI: Tensor | None = None  # bool: inputs that questions may be answered from; None = all there are

    def __len__(self) -> int:
        if self.pixels_B3YX is not None:
            return int(self.pixels_B3YX.shape[0])
        return int(next(iter(self.texts.values())).ids_BT.shape[0])

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return _moved(self, device)

    def rows(self, chosen: Tensor | slice) -> Batch:
        """Only some of the products, in the order given."""

        def pick(value: Any) -> Any:
            if isinstance(value, Tensor):
                return value[chosen]
            if isinstance(value, (Words, Questions, Batch)):
                return value.rows(chosen)
            if isinstance(value, Mapping):
                return {name: pick(part) for name, part in value.items()}
            return value

        return replace(self, **{f.name: pick(getattr(self, f.name)) for f in fields(self)})

    def pictured(self, source: Tensor) -> Batch:
        """The same titles beside the pictures of the products `source` (B,)."""
        pictures = {name: getattr(self, name) for name in _OF_PICTURES}
        taken: dict[str, Any] = {name: None if part is None else part[source] for name, part in pictures.items()}
        return replace(self, **taken)


_OF_PICTURES = ("pixels_B3YX", "came_B3YX", "closer_B3YX", "shares_BP", "kept_BP", "cells_BP3YX", "boxes_BP5")


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a model saw in a batch, in float32. Which fields are filled depends on the fusion."""

    embeddings: Mapping[str, Tensor] = field(default_factory=dict)  # name -> (B, D), unit length
    scales: Mapping[str, Tensor] = field(default_factory=dict)  # pair -> (): what its cosines are multiplied by
    words_BTD: Tensor | None = None  # states of the title's positions after fusion
    patches_BPD: Tensor | None = None  # states of the image positions after fusion
    patch_real_BP: Tensor | None = None  # bool: patches that the encoder saw
    asked_logits_NV: Tensor | None = None  # for the N positions that have a target, in reading order
    match_logit_B: Tensor | None = None  # > 0: picture and title belong together; 3B where hard negatives are drawn
    paired_B: Tensor | None = None  # bool: whether they do, where the model itself drew the pairs
    pixels_NC: Tensor | None = None  # guesses for the N hidden patches, in reading order; C = 3 x patch x patch
    guessed_NF: Tensor | None = None  # guesses for the features of the N hidden patches, in reading order
    features_NF: Tensor | None = None  # those features, without gradient
    told_classes_NK: Tensor | None = (
        None  # logits of what the N hidden regions show, from each alone; the last: nothing
    )
    guessed_classes_NK: Tensor | None = None  # guesses at these
    puzzle_logits: Mapping[str, Tensor] = field(default_factory=dict)  # task on the cells -> (B, K)
    answers_BQK: Tensor | None = None  # log-probabilities over the legal answers, -inf elsewhere
    written_logits_NV: Tensor | None = None  # for the N answer tokens to be written; V: the tokens that any answer has
    written_targets_N: Tensor | None = None  # int64, into V


def _moved(value: Any, device: torch.device | str) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {name: _moved(part, device) for name, part in value.items()}
    if isinstance(value, (Words, Questions, TeacherOutputs, Batch)):
        return replace(value, **{f.name: _moved(getattr(value, f.name), device) for f in fields(value)})
    return value
