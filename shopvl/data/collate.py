"""Rows of a catalog to a `Batch`, as a recipe asks."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch.nn.utils.rnn import pad_sequence

from shopvl.batch import (
    IGNORED,
    MODALITIES,
    AnswerTargets,
    Batch,
    Groups,
    KnownFacts,
    Modality,
    OriginalPictures,
    Pictures,
    Places,
    Questions,
    Relations,
    Words,
    require,
)
from shopvl.catalog.images import decode
from shopvl.catalog.ontology import Ontology
from shopvl.data.absent_title import TitleCheck
from shopvl.data.augment import training_query, training_title, without_facts
from shopvl.data.further_texts import further_texts
from shopvl.data.groups import text_groups
from shopvl.data.places import drawn_places, known_places, product_boxes
from shopvl.data.product_cells import product_cells, region_facts
from shopvl.data.relations import drawn_relations, triples_of
from shopvl.data.rows import Row, ValidRow, facts_of, is_of_no_category, subcategory
from shopvl.data.training_pictures import TrainingPictures, training_pictures
from shopvl.errors import DesignError
from shopvl.recipes.parts import (
    BiasDrop,
    DualEncoder,
    KaleidoCells,
    KeepSubjectTokens,
    Regions,
    WordBag,
)
from shopvl.recipes.parts.objectives import NAMED, Answers, Asked, Relate
from shopvl.recipes.recipe import Recipe
from shopvl.text.grams import numbered, padded
from shopvl.text.prompts import PromptBook, Question, questions_of
from shopvl.text.tokenizer import Tokenizer
from shopvl.text.verbalizers import Verbalizer
from shopvl.vision.patches import KeepRule
from shopvl.vision.picture_words import PictureReader
from shopvl.vision.quick import bias_drop, subject_shares
from shopvl.vision.subject import LETTERS_PX
from shopvl.vision.transforms import WHOLE, Box, Crop, seen_box, to_pixels

DECODED_SIDES = 2  # a JPEG is decoded at no less than this many times the size that the model reads
TOLD_SHARE = 5  # eighths of a writer's places are for what it is told
MAX_QUERY_TOKENS, MAX_ANSWER_TOKENS, MAX_PROMPT_TOKENS = 16, 12, 40
CENTER = Crop(0.075, 0.075, 0.925, 0.925, False)  # the middle of a picture, where promotions are rare


class Collator:
    """Turns rows into tensors for one recipe: sizes, token limits, augmentation and queries.

    With a `reader`, text laid over pictures is painted out before inference (`encode.prepare`).
    """

    def __init__(
        self, recipe: Recipe, tokenizer: Tokenizer, ontology: Ontology, reader: PictureReader | None = None
    ) -> None:
        self.recipe = recipe
        self.reader = reader
        self.tokenizer = tokenizer
        self.ontology = ontology

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width of a picture. Raises RecipeError for a recipe that reads none."""
        return self.recipe.size_px

    @property
    def max_tokens(self) -> int:
        """Of a text, at most. Raises RecipeError for a recipe that reads none."""
        return self.recipe.max_tokens

    @property
    def max_prompt_tokens(self) -> int:
        """Of a question; a bag of words has no positions, so no limit."""
        return MAX_PROMPT_TOKENS if isinstance(self.recipe.text, WordBag) else self.max_tokens

    def readable(self, wanted: Sequence[Modality]) -> tuple[Modality, ...]:
        """Those of the inputs wanted that the recipe reads. Raises DesignError if it reads none of them."""
        inputs = tuple(name for name in wanted if name in self.recipe.inputs)
        if not inputs:
            only, asked = NAMED[self.recipe.inputs[0]], NAMED[wanted[0]]
            raise DesignError(f"{self.recipe.name} reads {only} alone; use a model that reads {asked}")
        return inputs

    def inputs_of(self, row: Row) -> tuple[Modality, ...]:
        """Those of the recipe's inputs that a row to train on has."""
        there = {"image": bool((row["image"] or {}).get("bytes")), "title": bool(row["title"])}
        return tuple(name for name in self.recipe.inputs if there[name])

    def words(self, texts: Sequence[str], limit: int | None = None) -> Words:
        """Texts as padded token ids."""
        return self._encoded(texts, min(limit or self.max_tokens, self.max_tokens))

    def _encoded(self, texts: Sequence[str], limit: int, slots: bool = False) -> Words:
        ids, real = self.tokenizer.encode(texts, limit, slots=slots)
        return Words(ids_BT=torch.from_numpy(ids), real_BT=torch.from_numpy(real))

    def printed(self, boxed_B: Sequence[Sequence[tuple[str, Box]]]) -> Words:
        """Words on products with their boxes, one after the other; the two framing tokens have the whole picture's."""
        limit = require(self.recipe.ocr, "printed words", by=f"the recipe {self.recipe.name}").max_tokens
        start, end = self.tokenizer.encode([""], limit)[0][0].tolist()
        ids, boxes = [], []
        for boxed in boxed_B:
            pieces = zip(self.tokenizer.pieces([text for text, _ in boxed]), boxed, strict=True) if boxed else ()
            boxed_pieces = [(piece, box) for of_word, (_, box) in pieces for piece in of_word][: limit - 2]
            boxed_pieces = [(start, WHOLE[:4]), *boxed_pieces, (end, WHOLE[:4])]
            ids.append(torch.tensor([piece for piece, _ in boxed_pieces]))
            boxes.append(torch.tensor([box for _, box in boxed_pieces], dtype=torch.float32))
        real = [torch.ones(len(row), dtype=torch.bool) for row in ids]
        return Words(
            ids_BT=pad_sequence(ids, batch_first=True, padding_value=self.tokenizer.pad_id),
            real_BT=pad_sequence(real, batch_first=True),
            boxes_BT4=pad_sequence(boxes, batch_first=True),
        )

    def boxed(
        self, printed: Iterable[tuple[str, Box]], picture: Image.Image, crop: Crop = WHOLE
    ) -> list[tuple[str, Box]]:
        """Boxes of a picture as they lie in what the model sees of it, without those that it does not."""
        cropped = [(text, seen_box(box, picture.size, self.size_px, crop)) for text, box in printed]
        return [(text, box) for text, box in cropped if box is not None]

    @cached_property
    def title_check(self) -> TitleCheck:
        """Which titles say nothing to this model."""
        return TitleCheck(self.ontology, self.tokenizer)

    @property
    def decoded_px(self) -> int:
        """The least size of both sides when a photo is decoded: a large JPEG is decoded at a fraction of its size."""
        if self.recipe.image is None:
            return 0
        least = DECODED_SIDES * max(self.size_px)
        return least if self.reader is None else max(least, LETTERS_PX)

    def pictures(self, pictures: Sequence[Image.Image]) -> Batch:
        """RGB pictures alone."""
        return Batch(pictures=self.to_pictures([to_pixels(picture, self.size_px) for picture in pictures]))

    def to_pictures(
        self,
        pixels: Sequence[np.ndarray],
        rng: random.Random | None = None,
        printed: Sequence[Sequence[tuple[str, Box]]] | None = None,
    ) -> Pictures:
        """Pictures (3, Y, X) uint8 as the encoder sees them.

        `rng` is for training; `printed` are the words on each product with their boxes.
        """
        pixels_B3YX = np.stack(pixels)
        picture_tensors = Pictures(pixels_B3YX=torch.from_numpy(pixels_B3YX).float().div_(255))
        if isinstance(self.recipe.image, KaleidoCells | Regions):
            cells = product_cells(pixels_B3YX, self.recipe.image, printed or [()] * len(pixels))
            return replace(picture_tensors, cells=cells)
        drop_tokens, grid = self.recipe.leave_out, self.recipe.patch_grid
        guesses = self.asks("product shares")
        drops = isinstance(drop_tokens, KeepSubjectTokens) or (isinstance(drop_tokens, BiasDrop) and rng is not None)
        if grid is None or not (guesses or drops):
            return picture_tensors
        asks_shares = guesses or not (isinstance(drop_tokens, BiasDrop) and drop_tokens.bias == 0)
        shares_BRC = subject_shares(pixels_B3YX, grid) if asks_shares else np.zeros((len(pixels), *grid), np.float32)
        kept_BRC = None
        match drop_tokens:
            case KeepSubjectTokens(subject=least, at_least=at_least):
                shares = np.stack([shares_BRC, np.zeros_like(shares_BRC), 1 - shares_BRC], axis=-1)
                kept_BRC = KeepRule(subject=least, at_least=at_least).keep_mask(shares)
            case BiasDrop(share=share, bias=bias) if rng is not None:
                kept_BRC = bias_drop(shares_BRC, share, bias, np.random.default_rng(rng.getrandbits(64)))
        return replace(
            picture_tensors,
            kept_BP=None if kept_BRC is None else torch.from_numpy(kept_BRC).flatten(1),
            product_share_BP=torch.from_numpy(shares_BRC).flatten(1) if guesses else None,
        )

    def asks(self, asked: Asked) -> bool:
        """Whether an objective asks for that."""
        return any(asked in part.asks for part in self.recipe.objectives)

    def inference_batch(self, group: Sequence[ValidRow]) -> Batch:
        """Rows with the same inputs, as they are, without queries or facts."""
        inputs = group[0].inputs
        pictures = [item.image for item in group if item.image is not None]
        titles = [item.row["title"] for item in group]
        pixels = [to_pixels(picture, self.size_px) for picture in pictures]
        texts, grams_BG = ({"title": self.words(titles)}, title_grams(titles)) if "title" in inputs else ({}, None)
        if "image" not in inputs:
            return Batch(texts=texts, title_grams_BG=grams_BG)
        printed = None
        if self.recipe.reads:
            printed = [
                self.boxed([(word.text, word.box) for word in item.printed], item.image) for item in group if item.image
            ]
        if self.recipe.ocr is not None and printed is not None:
            texts["ocr"] = self.printed(printed)
        picture_tensors = self.to_pictures(pixels, printed=printed)
        if isinstance(self.recipe.fusion, DualEncoder) and any(item.original for item in group):
            originals = [item.original or item.image for item in group if item.image]
            picture_tensors = replace(picture_tensors, original=self.originals(originals))
        return Batch(pictures=picture_tensors, texts=texts, title_grams_BG=grams_BG)

    def originals(self, pictures: Sequence[Image.Image]) -> OriginalPictures:
        """The original pictures, for a batch of pictures that text was painted out of."""
        whole_B3YX, center_B3YX = (
            np.stack([to_pixels(picture, self.size_px, crop) for picture in pictures]) for crop in (WHOLE, CENTER)
        )
        return OriginalPictures(
            original_pixels_B3YX=torch.from_numpy(whole_B3YX).float().div_(255),
            center_crop_B3YX=torch.from_numpy(center_B3YX).float().div_(255),
        )

    def training_picture(self, row: Row) -> Image.Image:
        """Its picture; a large JPEG is decoded at a fraction of its size that is enough for every crop."""
        at_least_px = math.ceil(max(self.size_px) / max(1 - self.recipe.augment.crop_share, 0.1))
        return decode(row.get("bare") or row["image"]["bytes"], at_least_px=at_least_px)

    def training_batch(
        self,
        rows: Sequence[Row],
        rng: random.Random,
        seeds: Sequence[int] | None = None,
        decoded: Sequence[Image.Image] | None = None,
    ) -> Batch:
        """Rows with the same inputs as an augmented batch with queries, facts and groups.

        A row's augmentation follows from its seed, drawn from `rng` if there is none, so it does not depend on the
        process that the row is in. `decoded` are the pictures, if they are decoded already.
        """
        own = [random.Random(seed) for seed in seeds or [rng.getrandbits(64) for _ in rows]]
        inputs, texts, titles = self.inputs_of(rows[0]), {}, []
        drawn_pictures = TrainingPictures()
        if "image" in inputs:
            decoded = decoded or [self.training_picture(row) for row in rows]
            drawn_pictures = training_pictures(self, rows, decoded, own, rng)
        pictures, printed = drawn_pictures.pictures, drawn_pictures.printed
        changes, known, facts = self.recipe.augment, self.ontology, [self.facts_of(row) for row in rows]
        drawn = zip(rows, facts, own, strict=True)
        queries = [training_query(row, holding, changes, known, draw) for row, holding, draw in drawn]
        if "title" in inputs:
            titles = [training_title(row, changes, known, draw) for row, draw in zip(rows, own, strict=True)]
        facts_BK = self._facts(facts)
        if pictures is not None and pictures.cells is not None and isinstance(self.recipe.image, Regions):
            told = region_facts(pictures.cells, self.recipe.image, facts_BK, printed, self.ontology)
            pictures = replace(pictures, cells=replace(pictures.cells, facts_BPK=told))
        questions, input_mask_BI = None, None
        if self._answers is not None and len(inputs) == len(MODALITIES):
            rates = self._answers
            for place, (row, draw) in enumerate(zip(rows, own, strict=True)):
                if draw.random() < rates.hidden_answer:
                    titles[place] = without_facts(titles[place], self.facts_of(row), self.ontology)
            input_mask_BI = _input_mask([draw.random() for draw in own], rates)
            questions = self._training_questions(rows, facts_BK, input_mask_BI, rates, rng)
        if "title" in inputs:
            texts["title"] = self.words(titles)
        if self.recipe.text is not None and self.recipe.query_segment == "query":
            texts["query"] = self.words([query.text for query in queries], MAX_QUERY_TOKENS)
        if self.recipe.ocr is not None:
            texts["ocr"] = self.printed(printed)
        return Batch(
            pictures=pictures,
            views=drawn_pictures.views,
            texts=texts,
            title_grams_BG=title_grams(titles) if titles else None,
            groups=Groups(
                # a product without a title is like no other
                title_B=text_groups([row["title"] or f"\0{row['product_id']}" for row in rows]),
                query_B=text_groups([query.text for query in queries]),
                category_B=text_groups([subcategory(row) for row in rows]),
            ),
            facts=KnownFacts(product_BK=facts_BK, query_BK=self._facts([query.wants for query in queries])),
            questions=questions,
            input_mask_BI=input_mask_BI,
            places=self._places(drawn_pictures, facts, own),
            relations=self._relations(drawn_pictures, facts, own),
            **further_texts(self, rows, titles, facts, own, _book()) if titles else {},
        )

    def _places(
        self, drawn: TrainingPictures, facts: Sequence[Sequence[int]], own: Sequence[random.Random]
    ) -> Places | None:
        if drawn.pictures is None or not self.asks("places"):
            return None
        return drawn_places(self, known_places(drawn, facts, self.ontology), own)

    def _relations(
        self, drawn: TrainingPictures, facts: Sequence[Sequence[int]], own: Sequence[random.Random]
    ) -> Relations | None:
        part = next((part for part in self.recipe.objectives if isinstance(part, Relate)), None)
        if part is None or drawn.pictures is None:
            return None
        each = zip(facts, drawn.shown, product_boxes(drawn), strict=True)
        triples = [triples_of(holding, shown, product, self.ontology) for holding, shown, product in each]
        return drawn_relations(self, triples, facts, drawn.covers, part.edited, self.ontology, own)

    def told(self, texts: Sequence[str]) -> Words:
        """What a writer is told, with places left for what it writes."""
        return self.words(texts, self.max_tokens * TOLD_SHARE // 8)

    def questions(self, questions: Sequence[Question], *, language: str = "en") -> Questions:
        """Questions in their first phrasing, without targets."""
        texts = [self.verbalizer.book.phrasings(question, self.ontology, language)[0] for question in questions]
        return self._questions(questions, texts, self.verbalizer.names(language))

    @cached_property
    def verbalizer(self) -> Verbalizer:
        """The answers by their names."""
        return Verbalizer(self.ontology, _book())

    @cached_property
    def _answers(self) -> Answers | None:
        return next((part for part in self.recipe.objectives if isinstance(part, Answers)), None)

    def right_answers(self, rows: Sequence[Row], questions: Sequence[Question]) -> torch.Tensor:
        """(B, Q, K) bool: the right answers from picture and title; none if the truth is not known."""
        facts_BK = F.pad(self._facts([self.facts_of(row) for row in rows]), (0, 1))
        right_BQK = facts_BK[:, None] & torch.from_numpy(self.verbalizer.legal(questions))
        unknown_BQ = self._unanswerable(rows, questions, torch.ones(len(rows), len(MODALITIES), dtype=torch.bool))
        right_BQK[unknown_BQ] = False
        right_BQK[..., -1] = unknown_BQ
        return right_BQK

    def possible_answers(self, rows: Sequence[Row], questions: Sequence[Question]) -> torch.Tensor:
        """(B, Q, K) bool: where a category is known down to a node that has others below it, these, for the questions
        about deeper levels: one of them is right, it is not known which."""
        possible_BQK = torch.zeros(len(rows), len(questions), len(self.ontology.facts) + 1, dtype=torch.bool)
        for b, row in enumerate(rows):
            node = self.ontology.category(row["category_path"] or ())
            below = self._below.get(node.path, {}) if node else {}
            for q, question in enumerate(questions):
                if question.family == "is" and question.level in below:
                    possible_BQK[b, q, below[question.level]] = True
        return possible_BQK

    @cached_property
    def _below(self) -> dict[tuple[str, ...], dict[int, list[int]]]:
        """Path of a category -> level -> facts of the categories below it on that level."""
        below: defaultdict[tuple[str, ...], defaultdict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        for number, fact in enumerate(self.ontology.facts):
            for depth in range(1, len(fact.path)):
                below[fact.path[:depth]][len(fact.path)].append(number)
        return {path: dict(by_level) for path, by_level in below.items()}

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Languages that questions can be asked in."""
        return _book().languages(self.ontology)

    def _questions(self, questions: Sequence[Question], texts: Sequence[str], names: Sequence[str]) -> Questions:
        prompts = self._encoded(texts, self.max_prompt_tokens, slots=True)
        slots = prompts.ids_BT == self.tokenizer.mask_id
        if not bool((slots.sum(1) == 1).all()):
            odd = texts[int((slots.sum(1) != 1).int().argmax())]
            raise DesignError(
                f"the prompt {odd!r} has no [MASK] within the {self.max_prompt_tokens} tokens of this model; shorten it"
            )
        return Questions(
            prompts=prompts,
            slot_Q=slots.int().argmax(1),
            answers=self.words(names, MAX_ANSWER_TOKENS),
            legal_QK=torch.from_numpy(self.verbalizer.legal(questions)),
        )

    def _training_questions(
        self,
        rows: Sequence[Row],
        facts_BK: torch.Tensor,
        input_mask_BI: torch.Tensor,
        rates: Answers,
        rng: random.Random,
    ) -> Questions:
        """Training questions with targets: all levels of the category, some properties, what is sold, what it has."""
        book, language = self.verbalizer.book, rng.choice(self.languages)
        every = questions_of(self.ontology)
        properties = [question for question in every if question.family == "property"]
        chosen = [question for question in every if question.family == "is"]
        chosen += rng.sample(properties, min(rates.properties, len(properties)))
        chosen += [Question("sold"), Question("has")] if properties else [Question("sold")]
        texts, fits = [], []
        for question in chosen:
            about: tuple[str, ...] = ()
            if question.family in ("has", "property") and rng.random() < rates.category_named:
                about = tuple(rng.choice(rows)["category_path"] or ())
            texts.append(rng.choice(book.phrasings(question, self.ontology, language, about)))
            fits.append([not about or tuple(row["category_path"] or ()) == about for row in rows])
        questions = self._questions(chosen, texts, self.verbalizer.names(language, rng, rates.synonyms))
        known_BK = F.pad(facts_BK, (0, 1)).float()
        targets_BQK = known_BK[:, None] * questions.legal_QK
        nothing_B1, lacking_BQ = ~input_mask_BI.any(1)[:, None], self._unanswerable(rows, chosen, input_mask_BI)
        spared = [[rng.random() >= rates.lacking for _ in chosen] for _ in rows]
        spared_BQ = torch.tensor(spared) & lacking_BQ & ~nothing_B1 & ~_of_no_category(rows)[:, None]
        unknown_BQ = nothing_B1 | lacking_BQ
        targets_BQK[unknown_BQ] = 0.0
        targets_BQK[..., -1] = unknown_BQ.float()
        targets_BQK *= (torch.tensor(fits).T & ~spared_BQ)[..., None]
        written = torch.full(targets_BQK.shape[:2], IGNORED)
        for b, q in targets_BQK.any(-1).nonzero().tolist():
            written[b, q] = rng.choice(targets_BQK[b, q].nonzero()[:, 0].tolist())
        targets_BQK /= targets_BQK.sum(-1, keepdim=True).clamp(min=1)
        return replace(questions, targets=AnswerTargets(chosen_BQK=targets_BQK, written_BQ=written))

    def _unanswerable(
        self, rows: Sequence[Row], questions: Sequence[Question], input_mask_BI: torch.Tensor
    ) -> torch.Tensor:
        """(B, Q) bool: the product is of no category, its category has no such property, or only the picture is shown
        and cannot show it."""
        unanswerable_BQ = _of_no_category(rows)[:, None].repeat(1, len(questions))
        for q, question in enumerate(questions):
            prop = self.ontology.property(question.about) if question.family == "property" else None
            if prop is None:
                continue
            applies = [self.ontology.applies(prop.id, row["category_path"] or ()) for row in rows]
            unanswerable_BQ[:, q] |= ~torch.tensor(applies)
            if prop.visual == "no":
                unanswerable_BQ[:, q] |= ~input_mask_BI[:, MODALITIES.index("title")]
        return unanswerable_BQ

    def facts_of(self, row: Row) -> list[int]:
        """Ids of the ontology's facts that hold for a product; none for one that is of no category."""
        return facts_of(row, self.ontology)

    def _facts(self, ids: Sequence[Sequence[int]]) -> torch.Tensor:
        table = torch.zeros(len(ids), len(self.ontology.facts), dtype=torch.bool)
        for row, fact_ids in enumerate(ids):
            table[row, list(fact_ids)] = True
        return table


def _of_no_category(rows: Sequence[Row]) -> torch.Tensor:
    """(B,) bool."""
    return torch.tensor([is_of_no_category(row) for row in rows])


def title_grams(titles: Sequence[str]) -> torch.Tensor:
    """(B, G) int64: the titles' grams, 0 after them."""
    return torch.from_numpy(padded(numbered(titles)))


@lru_cache(maxsize=1)
def _book() -> PromptBook:
    return PromptBook.load()


def _input_mask(drawn: Sequence[float], rates: Answers) -> torch.Tensor:
    """(B, I) bool: which inputs each product shows, by a random number in [0, 1) each."""
    title_hidden, nothing = rates.image_only, rates.image_only + rates.nothing
    picture_hidden = nothing + rates.title_only
    return torch.tensor([[d < title_hidden or d >= picture_hidden, d >= nothing] for d in drawn])
