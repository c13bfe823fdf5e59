"""What a design answers about products, whichever head it has: log-probabilities per choice of inputs and property."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from shopvl.batch import MODALITIES, Batch, Modality, Questions, inputs_name
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN, UNKNOWN
from shopvl.design.design import Design
from shopvl.errors import DesignError
from shopvl.models.answering_encoder import AnsweringDualEncoder
from shopvl.models.prompt_heads import PreparedQuestions
from shopvl.models.two_crop import TowerOutput
from shopvl.text.prompts import questions_of

NEVER = -1e4  # a log-probability of 0 that a temperature can be fitted through, as it can't be through infinity
IMAGE: tuple[Modality, ...] = ("image",)
TITLE: tuple[Modality, ...] = ("title",)
GROUP = 16  # questions that go through the blocks together
TITLE_WEIGHT_KEY = "title_share"  # in calibration.json: see `title_weights`
LogProbs = dict[str, dict[str, Tensor]]  # inputs -> property -> (B, K) log-probabilities, in the order of the labels
Vectors = dict[Modality, Tensor]  # input -> (B, F): what the model's `features` gives for it alone


class ModelAnswers(ABC):
    """Answers of whichever head. These look at a picture as often as the image tower does; `looks.py` as needed."""

    design: Design

    def read(self, batch: Batch, choices: Sequence[tuple[Modality, ...]]) -> LogProbs:
        """For every choice and every property of `design.labels`."""
        return self.read_with_vectors(batch, choices)[0]

    def read_with_vectors(self, batch: Batch, choices: Sequence[tuple[Modality, ...]]) -> tuple[LogProbs, Vectors]:
        """`read`, and the vectors of inputs, of the picture as it came: of all, or of those that are a choice by
        themselves."""
        return max_confidence_view(batch, lambda seen: self._read(seen, choices))

    def _read(self, batch: Batch, choices: Sequence[tuple[Modality, ...]]) -> tuple[LogProbs, Vectors]:
        answered, vectors = self.unmixed(batch, with_title_alone(choices, self.design))
        return mix_in_title(answered, self.design, choices), vectors

    @abstractmethod
    def unmixed(
        self, batch: Batch, choices: Sequence[tuple[Modality, ...]], seen: TowerOutput | None = None
    ) -> tuple[LogProbs, Vectors]:
        """Answers and vectors of one view of the pictures, before the title's own answers are mixed in.

        `seen`: what the image tower made of the pictures, where that is known.
        """

    @abstractmethod
    def read_picture(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Unit vectors (B, D) of pictures, and the answers of `read` from them alone; the image tower runs once."""


class LinearAnswers(ModelAnswers):
    """Answers of linear heads: one weight matrix per property and choice of inputs."""

    def __init__(self, design: Design) -> None:
        if design.heads is None:
            raise DesignError(f"the design {design.name} has no heads to answer with; run `shopvl tune` on it first")
        self.design, self.heads = design, design.heads

    def read_picture(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        features_BF = self.design.model.features(batch, [IMAGE])["image"]
        return self.design.model.image_embedding(features_BF), self._answered(features_BF, batch, IMAGE)

    def unmixed(
        self, batch: Batch, choices: Sequence[tuple[Modality, ...]], seen: TowerOutput | None = None
    ) -> tuple[LogProbs, Vectors]:
        model = self.design.model
        features = model.features(batch, choices, seen) if seen is not None else model.features(batch, choices)  # type: ignore[call-arg]
        answered = {
            inputs_name(choice): self._answered(features[inputs_name(choice)], batch, choice) for choice in choices
        }
        return answered, {name: features[name] for name in MODALITIES if name in features}

    def _answered(self, features_BF: Tensor, batch: Batch, choice: tuple[Modality, ...]) -> dict[str, Tensor]:
        logits = self.heads(features_BF, choice, batch.title_grams_BG)
        return {name: logits[name].float().log_softmax(-1) for name in self.design.labels}


class PromptedAnswers(ModelAnswers):
    """Answers of a head that is asked in words, each question in the first of its phrasings.

    The last label is `unknown`. A property that the likeliest category has (the ontology says so) is never `unknown`:
    the head learned how often products of other categories lack it, and would say `unknown` too often.
    """

    def __init__(self, design: Design, *, language: str = "en") -> None:
        if not isinstance(design.model, AnsweringDualEncoder):
            raise DesignError(f"the design {design.name} has no head that answers prompts; tune it with prompt-mask")
        self.design, self.model = design, design.model
        questions = questions_of(design.ontology)
        loader = design.loader
        self.group = max(GROUP, sum(question.family == "is" for question in questions))  # all levels are in the first
        with torch.inference_mode():
            self.groups, self._numbers = self._prepared(loader.questions(questions, language=language))
        self.category = CategoryPaths(design.ontology)
        numbers = {(fact.property, fact.value): number for number, fact in enumerate(design.ontology.facts)}
        asked = {question.about: number for number, question in enumerate(questions) if question.family == "property"}
        unknown = loader.verbalizer.unknown
        self.places = {
            name: self._place(asked[name], [*(numbers[name, v] for v in values), unknown])
            for name, values in design.ontology.values().items()
            if name in design.labels
        }
        leaves = design.ontology.leaves()
        expected_RP = [[design.ontology.expects(name, leaf) for name in self.places] for leaf in leaves]
        self.expected_RP = torch.tensor([*expected_RP, [False] * len(self.places)], dtype=torch.bool)

    def _prepared(self, questions: Questions) -> tuple[list[PreparedQuestions], list[Tensor] | None]:
        """The questions in groups, and the numbers of the answers that are legal to one of each, if not all are there.

        No question sees another: in groups the cost of many grows in proportion to their number.
        """
        device = self.design.device
        if len(questions.slot_Q) <= self.group:
            return [self.model.prepare(questions.to(device))], None
        kept = [slice(first, first + self.group) for first in range(0, len(questions.slot_Q), self.group)]
        numbers = [questions.legal_QK[some].any(0).nonzero()[:, 0] for some in kept]
        groups = [
            self.model.prepare(questions.only(some, numbers_K).to(device), numbers_K.to(device))
            for some, numbers_K in zip(kept, numbers, strict=True)
        ]
        return groups, numbers

    def _place(self, question: int, columns: list[int]) -> tuple[int, int, Tensor]:
        """Where answers to a question are found: the group, the question's number in it, theirs in the group."""
        group, place = divmod(question, self.group)
        columns_K = torch.tensor(columns)
        if self._numbers is not None:
            columns_K = torch.searchsorted(self._numbers[group], columns_K)
        return group, place, columns_K

    def read_picture(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        vector_BD, logp = self.model.read_picture(batch, self.groups)
        return vector_BD, self.answered(logp)

    def unmixed(
        self, batch: Batch, choices: Sequence[tuple[Modality, ...]], seen: TowerOutput | None = None
    ) -> tuple[LogProbs, Vectors]:
        answered, vectors = self.model.answer_with_features(batch, self.groups, choices, seen)
        return {inputs: self.answered(logp) for inputs, logp in answered.items()}, vectors

    def answered(self, logp: Sequence[Tensor]) -> dict[str, Tensor]:
        """Labels' log-probabilities out of those (B, Q, K) of the groups."""
        by_property = {
            name: logp[group][:, question, columns] for name, (group, question, columns) in self.places.items()
        }
        if CATEGORY not in self.design.labels:
            return by_property
        category_BR = self.category.read(logp[0], self.groups[0].numbers_K)
        expected_BP = self.expected_RP.to(category_BR.device)[category_BR.argmax(-1)]
        for (name, logp_BK), expected_B in zip(by_property.items(), expected_BP.T, strict=True):
            unknown_BK = F.pad(expected_B[:, None], (logp_BK.shape[1] - 1, 0))
            by_property[name] = logp_BK.masked_fill(unknown_BK, NEVER).log_softmax(-1)
        return {CATEGORY: category_BR, **by_property}


def max_confidence_view(batch: Batch, read: Callable[[Batch], tuple[LogProbs, Vectors]]) -> tuple[LogProbs, Vectors]:
    """Answers and vectors of `read`, with test-time augmentation of pictures that text was painted out of.

    Such a picture is read in three views: without the text, as it is, and as a center crop, where promotions are rare.
    Each view is misled by something else, and then seldom confident, so every value takes its highest probability over
    the views; these are then normalised (the max rule of Kittler et al. 1998, doi:10.1109/34.667881). Vectors are
    those of the picture as it is.
    """
    if batch.pictures is None or batch.pictures.original is None:
        return read(batch)
    original, painted_out = batch.pictures.original, replace(batch.pictures, original=None)
    best, vectors = read(replace(batch, pictures=painted_out))
    painted_N = painted_rows(batch).nonzero().flatten()
    if not len(painted_N):
        return best, vectors
    rows = batch.rows(painted_N)
    for view_B3YX in (original.original_pixels_B3YX, original.center_crop_B3YX):
        # which patches count depends on the view
        pictures = replace(painted_out.rows(painted_N), pixels_B3YX=view_B3YX[painted_N], kept_BP=None)
        logps, of_view = read(replace(rows, pictures=pictures))
        if view_B3YX is original.original_pixels_B3YX:
            vectors = {name: vectors[name].index_copy(0, painted_N, of_view[name]) for name in vectors}
        for inputs, by_name in logps.items():
            for name, logp_NK in by_name.items():
                best_BK = best[inputs][name]
                surer_NK = torch.maximum(best_BK[painted_N], logp_NK)
                best[inputs][name] = best_BK.index_copy(0, painted_N, surer_NK)
    normalised = {
        inputs: {name: logp_BK.log_softmax(-1) for name, logp_BK in by_name.items()} for inputs, by_name in best.items()
    }
    return normalised, vectors


def painted_rows(batch: Batch) -> Tensor:
    """(B,) bool: products from whose pictures text was painted out."""
    pictures = batch.pictures
    if pictures is None or pictures.original is None:
        return torch.zeros(len(batch), dtype=torch.bool)
    return (pictures.original.original_pixels_B3YX != pictures.pixels_B3YX).flatten(1).any(1)


class CategoryPaths:
    """Answers per level of the category tree to a distribution over its leaves and `unknown`.

    A leaf scores the mean log-probability of the nodes on its path, each as the answer to its level's question. So all
    levels count, the levels of an answer are consistent, and short paths are not favoured.
    """

    def __init__(self, ontology: Ontology) -> None:
        numbers = {fact.path: n for n, fact in enumerate(ontology.facts) if fact.kind == "category"}
        leaves = ontology.leaves()
        depth = max((len(leaf) for leaf in leaves), default=0)
        unknown = len(ontology.facts)
        steps = [[numbers[leaf[: level + 1]] if len(leaf) > level else -1 for level in range(depth)] for leaf in leaves]
        self.steps_RL = torch.tensor([*steps, [unknown] * depth])  # R: leaves and unknown; L: levels

    def read(self, logp_BQK: Tensor, numbers_K: Tensor | None = None) -> Tensor:
        """(B, R) log-probabilities; the first questions are the levels, from the top.

        `numbers_K`, ascending: which answers are there, if not all.
        """
        steps_RL = self.steps_RL.to(logp_BQK.device)
        if numbers_K is not None:
            steps_RL = torch.searchsorted(numbers_K, steps_RL).masked_fill(steps_RL < 0, -1)
        real_RL = steps_RL >= 0
        levels = torch.arange(steps_RL.shape[1], device=logp_BQK.device)
        logp_BRL = logp_BQK[:, levels, steps_RL.clamp(min=0)].masked_fill(~real_RL, 0.0)
        return (logp_BRL.sum(-1) / real_RL.sum(-1)).log_softmax(-1)


def title_weights(design: Design) -> dict[str, float]:
    """By property, the weight above 0 of the title's own answer in the answer from picture and title.

    A network is more confident on its training pictures than on new ones, so the joint answer relies too much on the
    picture. Calibration finds the weight on held-out rows.
    """
    by_property = design.calibration.get(inputs_name(MODALITIES), {})
    return {name: weight for name, figures in by_property.items() if (weight := figures.get(TITLE_WEIGHT_KEY, 0.0))}


def with_title_alone(choices: Sequence[tuple[Modality, ...]], design: Design) -> Sequence[tuple[Modality, ...]]:
    """The choices, and the title alone if the answer from picture and title needs it."""
    needed = MODALITIES in choices and TITLE not in choices and title_weights(design)
    return (*choices, TITLE) if needed else choices


def mix_in_title(answered: LogProbs, design: Design, choices: Sequence[tuple[Modality, ...]]) -> LogProbs:
    """The answers for the choices; those from picture and title are mixed with those from the title alone."""
    both, alone = (answered.get(inputs_name(choice)) for choice in (MODALITIES, TITLE))
    if both is not None and alone is not None:
        for name, weight in title_weights(design).items():
            both[name] = geometric_mixture(both[name], alone[name], weight)
    return {inputs_name(choice): answered[inputs_name(choice)] for choice in choices}


def geometric_mixture(logp_BK: Tensor, other_BK: Tensor, weight: float) -> Tensor:
    """The weighted geometric mean of two distributions (B, K), as logarithms; `weight` is that of the other."""
    return ((1 - weight) * logp_BK + weight * other_BK).log_softmax(-1) if weight else logp_BK


def answers_of(design: Design) -> ModelAnswers:
    """The design's way to answer. Raises DesignError if it has no head."""
    if isinstance(design.model, AnsweringDualEncoder):
        return PromptedAnswers(design)
    return LinearAnswers(design)


def prompted_labels(ontology: Ontology) -> dict[str, list[str]]:
    """Properties that a prompted design answers, each with its values, `unknown` last."""
    labels = {CATEGORY: [CATEGORY_JOIN.join(path) for path in ontology.leaves()]}
    labels |= {name: list(values) for name, values in ontology.values().items()}
    return {name: [*values, UNKNOWN] for name, values in labels.items() if values}
