"""What goes into a model and what comes out, with the one legend of shape letters.

    B  products in a batch        T  text positions        P  image positions (patches)
    D  width of a vector          H  heads                 V  words in the vocabulary
    K  facts or labels            Y, X  picture (or cell) height and width in pixels
    Q  questions                  I  inputs: picture, title       F  features of a patch
    G  grams of a title           N  positions asked for, in reading order

Masks are `True` where something is real. Objectives read `Batch` and `Output`; models read `Batch` and write `Output`.
What belongs together is there together: a `Batch` and an `Output` hold groups, and `require` gets a group or says in
one sentence who lacks it and what brings it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, Self, TypeVar

import torch
from torch import Tensor

from shopvl.errors import MissingInputError

Modality = Literal["image", "title"]
MODALITIES: tuple[Modality, ...] = ("image", "title")  # the I of `input_mask_BI`
INPUT_CHOICES: tuple[tuple[Modality, ...], ...] = (("image", "title"), ("image",), ("title",))


def inputs_name(inputs: tuple[Modality, ...]) -> str:
    """`image+title`, `image` or `title`."""
    return "+".join(inputs)


class PerProduct:
    """A group of tensors with one row per product; groups may hold groups."""

    __slots__ = ()

    def to(self, device: torch.device | str) -> Self:
        """The same on another device."""
        return _moved(self, device)

    def rows(self, chosen: Tensor | slice) -> Self:
        """Only some of the products, in the order given."""
        return replace(self, **{f.name: _picked(getattr(self, f.name), chosen) for f in fields(self)})  # type: ignore[type-var,arg-type]


@dataclass(frozen=True, slots=True, kw_only=True)
class Words(PerProduct):
    """Token ids of one text per product, padded on the right."""

    ids_BT: Tensor  # int64
    real_BT: Tensor  # bool
    targets_BT: Tensor | None = None  # int64; the true id at masked positions, IGNORED elsewhere
    next_BT: Tensor | None = None  # int64; the id that follows, where it is to be predicted, IGNORED elsewhere
    given_B: Tensor | None = None  # int64; how many see each other; later ones see what is before; None: all
    boxes_BT4: Tensor | None = None  # float32, x0 y0 x1 y1 in [0, 1] of the picture, of words that stand in one

    def without_end(self) -> Words:
        """The same but for the last word of each: texts that can be gone on with."""
        place_T = torch.arange(self.ids_BT.shape[1], device=self.ids_BT.device)
        return replace(self, real_BT=place_T < self.real_BT.sum(1, keepdim=True) - 1)


OVERLAID = "overlaid"  # the view with promotions drawn on the pictures
CLAUSES = "clauses"  # embeddings (B, C, D) of a product's clauses
EDITED = "edited title"  # the embedding of a title that lies about one thing
TEXT_PAIR = ("title beside line", "line")  # embeddings of titles and of lines of facts, compared with each other
QUERY_VECTORS = "image queries"  # embeddings (B, Q, D) of a picture, of which the nearest counts
COVERED = "covered"  # the view in which a part of some products is hidden, of which nothing can be said then
MASKED = "masked"  # the view of which patches are left out, to be told
STRONG_VIEWS = ("first view", "second view")  # each picture changed much, twice
SHARED_VIEWS = ("first view in the space", "second view in the space")  # their embeddings beside titles
TOLD_VIEWS = ("first view telling", "second view telling")  # what they tell of the whole picture
IGNORED = -100  # target value of positions that are not asked (the convention of torch's cross_entropy)


@dataclass(frozen=True, slots=True, kw_only=True)
class EditedTitles(PerProduct):
    """Titles in which one thing is not so; where nothing could be exchanged, the titles themselves."""

    words: Words
    lies_B: Tensor  # bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Clauses(PerProduct):
    """Short texts of what holds for each product, C at most."""

    ids_BCT: Tensor  # int64
    real_BCT: Tensor  # bool
    number_BC: Tensor  # int64; equal for equal texts, -1 where a product has fewer than C

    @property
    def words(self) -> Words:
        """All of them (B * C, T), product by product."""
        return Words(ids_BT=self.ids_BCT.flatten(0, 1), real_BT=self.real_BCT.flatten(0, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedFacts(PerProduct):
    """A question about each product, and the one fact that answers it."""

    words: Words
    fact_B: Tensor  # int64; IGNORED where nothing is known of a product


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrases(PerProduct):
    """Short texts that are looked for in each picture, N of Q pieces at most; their order says nothing."""

    ids_BNQ: Tensor  # int64
    real_BNQ: Tensor  # bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Places(PerProduct):
    """Phrases, and what they name in each picture: M boxes at most."""

    phrases: Phrases
    boxes_BM4: Tensor  # float32, x0 y0 x1 y1 in [0, 1] of the picture
    named_BMN: Tensor  # bool: by which phrases; one that names none is not in the picture


VERDICTS = ("shown", "denied", "not seen")  # what a picture says to a statement, by number
SHOWN, DENIED, NOT_SEEN = range(len(VERDICTS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Relations(PerProduct):
    """Statements about each product, what its picture says to them, and where one has to look."""

    places: Places  # the statements as phrases; boxes show the property that one is about, whether it is true or not
    verdict_BN: Tensor  # int64: SHOWN, DENIED or NOT_SEEN; IGNORED where there is no statement


@dataclass(frozen=True, slots=True, kw_only=True)
class TagChanges(PerProduct):
    """What is done to the tags that a model reads off each picture."""

    hidden_BC: Tensor | None = None  # bool: tags to be guessed
    of_B: Tensor | None = None  # int64: the product whose tags stand there instead
    changed_B: Tensor | None = None  # int64: 0 where all belongs together, 1 a false picture, 2 false tags


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerTargets(PerProduct):
    """Right answers to the Q questions of a batch."""

    chosen_BQK: Tensor  # float32; a row sums to 1 over the right answers; all zeros = not asked of that product
    written_BQ: Tensor  # int64; the one right answer that a decoder is to write, or IGNORED


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions(PerProduct):
    """Q questions that every product of a batch is asked, as prompts with one slot, and the K answers there are.

    `slot_Q` is the place of the slot among a prompt's words.
    """

    prompts: Words  # (Q, T)
    slot_Q: Tensor  # int64
    answers: Words  # (K, T'), names of the answers
    legal_QK: Tensor  # bool
    targets: AnswerTargets | None = None  # in training

    def rows(self, chosen: Tensor | slice) -> Questions:
        """The same questions, with the targets of some products only."""
        return replace(self, targets=_picked(self.targets, chosen))

    def only(self, kept: slice, answers: Tensor | None = None) -> Questions:
        """Some of the questions, without targets; with the numbers of `answers`, only these answers."""
        legal_QK = self.legal_QK[kept]
        return Questions(
            prompts=self.prompts.rows(kept),
            slot_Q=self.slot_Q[kept],
            answers=self.answers if answers is None else self.answers.rows(answers),
            legal_QK=legal_QK if answers is None else legal_QK[:, answers],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginalPictures(PerProduct):
    """Pictures with the text laid over them, which `Pictures.pixels_B3YX` has painted out."""

    original_pixels_B3YX: Tensor  # float32 in [0, 1]
    center_crop_B3YX: Tensor  # the middle of these, larger


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureCells(PerProduct):
    """Pieces of each picture, cut beforehand."""

    pixels_BP3YX: Tensor  # float32 in [0, 1], each of one size
    boxes_BP5: Tensor  # float32: their x0, x1, y0, y1 and area, all as shares of the picture
    product_share_BP: Tensor | None = None  # float32, the share of product in each, of regions
    facts_BPK: Tensor | None = None  # bool: which facts each is known to show, where regions' classes are guessed


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures(PerProduct):
    """B pictures, and what is known of their patches."""

    pixels_B3YX: Tensor  # float32 in [0, 1]
    original: OriginalPictures | None = None  # where text was painted out of one of them
    cells: PictureCells | None = None  # where the recipe cuts pictures beforehand
    product_share_BP: Tensor | None = None  # float32, the share of product in each patch, where patches are guessed
    kept_BP: Tensor | None = None  # bool: patches that the encoder sees; None = all
    masked_BP: Tensor | None = None  # bool: patches whose pixels or features are to be guessed
    entry_draw_BP: Tensor | None = None  # float32: all cells like the one of the largest draw are hidden, if above 0
    within_B5: Tensor | None = None  # of a view: x0 y0 x1 y1 of the batch's own picture, and 1 where it is mirrored

    def __len__(self) -> int:
        return int(self.pixels_B3YX.shape[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups(PerProduct):
    """Which products count as the same. Equal number: the same title (so that twins are not each other's negatives),
    the same query, the same sub-category."""

    title_B: Tensor  # int64
    query_B: Tensor  # int64
    category_B: Tensor  # int64


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFacts(PerProduct):
    """Which of the ontology's K facts (category nodes, property values) hold for a product, and which its query asks
    for: query i fits product j when j has every fact that i asks for."""

    product_BK: Tensor  # bool
    query_BK: Tensor  # bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Puzzles(PerProduct):
    """Tasks on the cells of pictures."""

    answers: Mapping[str, Tensor]  # task -> (B,) int64, the right answer
    clean_BP3YX: Tensor  # the cells before they were changed


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherOutputs:
    """What a momentum teacher makes of a batch, and what it remembers of earlier ones, all without gradient."""

    embeddings: Mapping[str, Tensor]  # name -> (B, D), unit length
    queue: Mapping[str, Tensor]  # name -> (M, D), embeddings of M earlier products
    title_group_M: Tensor  # int64, their titles
    share: float  # of a target that is the teacher's
    made: Mapping[str, Tensor] = field(default_factory=dict)  # logits (N, K) of its own, by what is predicted


@dataclass(frozen=True, slots=True, kw_only=True)
class WholePictures(PerProduct):
    """What a teacher makes of whole pictures, without gradient."""

    patches_BPW: Tensor  # states
    projected_BP: Tensor | None = None  # behind its projector, unit length


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedStates(PerProduct):
    """What is added to words, or to a picture's positions, before fusion, to see how a model holds (VILLA)."""

    words_BTD: Tensor | None = None
    patches_BPD: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(PerProduct):
    """B products as tensors. Groups that a recipe does not ask for are None."""

    pictures: Pictures | None = None
    views: Mapping[str, Pictures] = field(default_factory=dict)  # other forms of the same pictures, by name
    texts: Mapping[str, Words] = field(default_factory=dict)
    fact_lines: Words | None = None  # what is known of each product, as texts to be compared with titles
    edits: EditedTitles | None = None
    clauses: Clauses | None = None
    asked: AskedFacts | None = None
    answer_B: Tensor | None = None  # int64: the fact that the title, a question, asks for, or IGNORED
    tags: TagChanges | None = None
    places: Places | None = None
    relations: Relations | None = None
    phrases: Phrases | None = None  # in the title's place
    told: Words | None = None  # an instruction and what is to be written after it, with `given_B` and `next_BT`
    title_grams_BG: Tensor | None = None  # int64, 0 for none (`text.grams`)
    groups: Groups | None = None
    facts: KnownFacts | None = None
    questions: Questions | None = None
    input_mask_BI: Tensor | None = None  # bool: inputs that questions may be answered from; None = all there are
    is_match_B: Tensor | None = None  # bool: picture and title belong together; None = all do
    gumbel_noise_2BB: Tensor | None = None  # float32, draws hard negatives: a picture per title, and the reverse
    cross_attention_BTP: Tensor | None = None  # float32: how much each word of the title looks at each patch
    puzzles: Puzzles | None = None
    teacher: TeacherOutputs | None = None
    whole: WholePictures | None = None
    moved: MovedStates | None = None
    mixup: bool = False  # pictures are blends of two each, as none is in use
    bridged: bool = False  # words are told by a query bridge itself, not by the language model behind it
    rebuild: bool = False  # pictures are only to be made again, out of codes
    embed_only: bool = False  # pictures and texts are each embedded alone, also where a model could fuse them

    def __len__(self) -> int:
        if self.pictures is not None:
            return len(self.pictures)
        return int(next(iter(self.texts.values())).ids_BT.shape[0])

    def with_pictures_of(self, source: Tensor) -> Batch:
        """The same titles beside the pictures of the products `source` (B,)."""
        return replace(self, pictures=_picked(self.pictures, source))


def inputs_in(batch: Batch) -> tuple[Modality, ...]:
    """Which of picture and title the batch's products have; all of a batch have the same."""
    there: dict[Modality, bool] = {"image": batch.pictures is not None, "title": "title" in batch.texts}
    return tuple(name for name in MODALITIES if there[name])


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedStates:
    """States of both modalities after fusion."""

    words_BTD: Tensor
    patches_BPD: Tensor
    patch_real_BP: Tensor  # bool: patches that the encoder saw


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a head made of N places or products, and what is true of them, which carries no gradient.

    `true` are numbers of classes (N,) int64, yes or no (N,) bool, or as `made` is: shares of classes, logits, values.
    """

    made: Tensor  # (N, K) logits or values; (N,) a logit: > 0 is yes
    true: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a model saw in a batch, in float32. Which groups are filled depends on the fusion."""

    embeddings: Mapping[str, Tensor] = field(default_factory=dict)  # name -> (B, D), unit length
    scales: Mapping[str, Tensor] = field(default_factory=dict)  # pair -> (): what its cosines are multiplied by
    states: FusedStates | None = None
    predictions: Mapping[str, Prediction] = field(default_factory=dict)  # by the name of what is predicted

    def products(self, left_BD: Tensor, name: str) -> Tensor:
        """(B, B): products of vectors with those embeddings; with the nearest, where several stand for a picture."""
        several_BQD = self.embeddings.get(QUERY_VECTORS) if name == "image" else None
        if several_BQD is None:
            return left_BD @ self.embeddings[name].T
        return torch.einsum("bd,cqd->bcq", left_BD, several_BQD).amax(-1)

    def prediction(self, name: str, by: str) -> Prediction:
        """What a head made of that; raises MissingInputError where `by` lacks it."""
        if name not in self.predictions:
            raise MissingInputError(
                f"{by} lacks a prediction of {name}; its recipe brings the head, its view what there is to predict"
            )
        return self.predictions[name]


Present = TypeVar("Present")

# what an objective or a part of a model may lack, and what brings it
BROUGHT_BY = {
    "the number of words": "begin with `LineWriter.begin`",
    "pictures": "give it rows with pictures",
    "a title": "give it rows with titles",
    "title grams": "give it rows with titles",
    "product shares": "the objectives pix-rec and mpm-kl bring them, on patches",
    "cells": "the image parts kaleido and region cut them",
    "groups": "a training batch (`Collator.training_batch`) brings them",
    "region facts": "a training batch (`Collator.training_batch`) of a recipe with region brings them",
    "asked facts": "a training batch of a recipe with the objective qa-cls brings them",
    "places": "a training batch of a recipe with the objective ground brings them",
    "statements": "a training batch of a recipe with the objective relate brings them",
    "changes of tags": "the views of mlm and of matching bring them, where regions have tags",
    "clauses": "a training batch of a recipe with the objective mil-nce brings them",
    "edited titles": "a training batch of a recipe with the objective edits brings them",
    "facts": "a training batch (`Collator.training_batch`) brings them",
    "masked words": "a view that hides words brings them",
    "words to tell": "the views of the objectives lm and instruct bring them",
    "answer targets": "a training batch of a recipe with the objective prompt-vqa brings them",
    "pair labels": "the view of the objective itm or wra-ot brings them",
    "gumbel noise": "the objective itm with negatives of hard brings it",
    "cross attention": "a single-stream recipe with an objective kaleido brings it",
    "whole pictures": "give the recipe a teacher of pictures (momentum-image)",
    "masked pictures": "a training batch of a recipe with the objective msd brings them",
    "teacher outputs": "give the recipe a teacher (momentum)",
    "fused states": "fuse words and patches in one line (single-stream, co-attention, joint-then-split)",
    "answer vectors": "questions prepared by a prompt-mask have them",
    "answer tokens": "questions prepared by a prompt-decode have them",
    "a start token": "use a tokenizer that frames texts",
    "a sight": "give the first positions with the sight of their line",
    "patch positions": "tell attention with a crossing which positions are patches",
    "instructions": "a training batch of a recipe with the objective instruct brings them",
    "printed words": "give the recipe ocr-words as ocr",
    "[MASK]": "use a tokenizer that has one, such as that of a BERT",
}


def require(group: Present | None, what: str, by: str) -> Present:
    """A group of a batch or an output, by its name in `BROUGHT_BY`; raises MissingInputError where `by` lacks it."""
    if group is None:
        raise MissingInputError(f"{by} lacks {what}; {BROUGHT_BY[what]}")
    return group


def _moved(value: Any, device: torch.device | str) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {name: _moved(part, device) for name, part in value.items()}
    if is_dataclass(value):
        return replace(value, **{f.name: _moved(getattr(value, f.name), device) for f in fields(value)})  # type: ignore[type-var]
    return value


def _picked(value: Any, chosen: Tensor | slice) -> Any:
    if isinstance(value, Tensor):
        return value[chosen]
    if isinstance(value, PerProduct):
        return value.rows(chosen)
    if isinstance(value, Mapping):
        return {name: _picked(part, chosen) for name, part in value.items()}
    return value
