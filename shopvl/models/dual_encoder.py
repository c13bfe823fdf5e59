"""Two towers that meet in one space (CLIP, arXiv:2103.00020), with any number of kinds of text."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shopvl.batch import (
    CLAUSES,
    EDITED,
    IGNORED,
    MASKED,
    SHARED_VIEWS,
    STRONG_VIEWS,
    TEXT_PAIR,
    TOLD_VIEWS,
    Batch,
    FusedStates,
    Modality,
    Output,
    Pictures,
    Prediction,
    Words,
    inputs_name,
    require,
)
from shopvl.errors import DesignError
from shopvl.models.attention import BlockSettings, Encoder
from shopvl.models.patch_decoder import StateDecoder
from shopvl.models.prediction_heads import WordHead
from shopvl.models.sight import Sight
from shopvl.models.two_crop import LookingTower, TowerOutput, looks_of, mean_look

MAX_SCALE = 100.0  # of cosines, as in CLIP
PAIRS = ("title-image", "query-image", "query-title")  # each learns a scale of its own


class SharedSpaceModel(nn.Module):
    """What embeds pictures and texts in one space: a linear projection of each, and a scale for every pair of them."""

    embeds = False  # whether `add_space` was called
    pairs_texts = False  # whether `add_text_pairs` was
    shares_views = False  # whether strong views are compared with titles
    view_projector: nn.Module | None  # behind which they are compared with each other
    own_predictor: nn.Module | None  # by which each tells of the whole picture

    def __init__(self) -> None:
        super().__init__()
        self.view_projector = self.own_predictor = None  # a module would hide behind a default of the class

    def add_space(self, image_width: int | None, text_width: int, width: int, temperature: float) -> None:
        """Projections to a space of `width`, from vectors of those widths; None: there are no pictures."""
        if image_width is not None:
            self.image_projection = nn.Linear(image_width, width, bias=False)
        self.text_projection = nn.Linear(text_width, width, bias=False)
        self.log_scale = nn.Parameter(torch.full((len(PAIRS),), math.log(1 / temperature)))
        self.embeds = True

    def embedded(self, batch: Batch) -> Output:
        """Unit-length embeddings (B, width) of whatever the batch holds, by name: image, title, query."""
        self._need_space()
        pooled = {name: self._pooled_text(words, name) for name, words in batch.texts.items()}
        embeddings = {name: self._unit(self.text_projection(pooled_BW)) for name, pooled_BW in pooled.items()}
        if batch.fact_lines is not None:
            sides = pooled["title"], self._pooled_text(batch.fact_lines, "title")
            embeddings |= {
                name: self._unit(self.pair_projection(side_BW)) for name, side_BW in zip(TEXT_PAIR, sides, strict=True)
            }
        if batch.pictures is not None:
            embeddings["image"] = self.embed_image(batch)
        return Output(embeddings={**embeddings, **self.embed_further(batch)}, scales=self.scales())

    def embed_further(self, batch: Batch) -> dict[str, Tensor]:
        """Edited titles, clauses (B, C, width), and other forms of the pictures, by name, unit length: in the shared
        space, or behind the projector (B, P)."""
        embeddings = {}
        if batch.edits is not None:
            embeddings[EDITED] = self.embed_text(batch.edits.words, "title")
        if batch.clauses is not None:
            clauses_ND = self.embed_text(batch.clauses.words, "title")
            embeddings[CLAUSES] = clauses_ND.unflatten(0, batch.clauses.number_BC.shape)
        for name, pictures in batch.views.items():
            if name != MASKED:
                pooled_BW = self._pooled_image(Batch(pictures=pictures))
                embeddings |= (
                    self._strong_view(name, pooled_BW) if name in STRONG_VIEWS else {name: self._in_space(pooled_BW)}
                )
        return embeddings

    def _strong_view(self, name: str, pooled_BW: Tensor) -> dict[str, Tensor]:
        """A strong view in the shared space, behind the projector, and as it tells of the whole: what is asked for."""
        number, embeddings = STRONG_VIEWS.index(name), {}
        if self.shares_views:
            embeddings[SHARED_VIEWS[number]] = self._in_space(pooled_BW)
        if self.view_projector is not None:
            embeddings[name] = self._unit(self.view_projector(pooled_BW))
        if self.own_predictor is not None:
            embeddings[TOLD_VIEWS[number]] = self._unit(self.own_predictor(self.own_projector(pooled_BW)))
        return embeddings

    def _in_space(self, pooled_BW: Tensor) -> Tensor:
        return self._unit(self.image_projection(pooled_BW))

    def add_text_pairs(self, text_width: int, width: int, temperature: float) -> None:
        """A projection of texts to compare them with each other (MURAL, arXiv:2109.05125), and the scale of that."""
        self.pair_projection = nn.Linear(text_width, width, bias=False)
        self.log_pair_scale = nn.Parameter(torch.tensor(math.log(1 / temperature)))
        self.pairs_texts = True

    def add_view_projector(self, image_width: int, hidden: int, width: int) -> None:
        """Three layers with batch norms between (SimCLR, arXiv:2002.05709), behind which strong views are compared."""
        widths = [image_width, hidden, hidden]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU(inplace=True)]
        self.view_projector = nn.Sequential(*layers, nn.Linear(hidden, width, bias=False))

    def add_own_projector(self, image_width: int, hidden: int, width: int) -> None:
        """Behind it a whole picture is to be told, by a predictor behind it of each view (BYOL, arXiv:2006.07733).

        Norms are of each picture alone, as a teacher's are.
        """
        self.own_projector = _two_layers(image_width, hidden, width)
        self.own_predictor = _two_layers(width, hidden, width)

    def scales(self) -> dict[str, Tensor]:
        """What the cosines of each pair are multiplied by."""
        scales = dict(zip(PAIRS, self.log_scale.exp().clamp(max=MAX_SCALE).unbind(), strict=True))
        if self.pairs_texts:
            scales["t2t"] = self.log_pair_scale.exp().clamp(max=MAX_SCALE)
        return scales

    def embed_image(self, batch: Batch) -> Tensor:
        """The batch's pictures as (B, width), unit length. Raises DesignError for a model without embeddings."""
        self._need_space()
        return self._unit(self.image_projection(self._pooled_image(batch)))

    def embed_text(self, words: Words, segment: str) -> Tensor:
        """(B, width), unit length. Raises DesignError for a model without embeddings."""
        self._need_space()
        return self._unit(self.text_projection(self._pooled_text(words, segment)))

    def _pooled_image(self, batch: Batch) -> Tensor:
        """One vector per picture (B, image_width)."""
        raise NotImplementedError

    def _pooled_text(self, words: Words, segment: str) -> Tensor:
        """One vector per text (B, text_width)."""
        raise NotImplementedError

    def _need_space(self) -> None:
        if not self.embeds:
            raise DesignError(
                "this model reads picture and words together and has no embeddings to search with; use a model of a "
                "dual-enc recipe such as tri-clip, or train this one with `contrast: true` in its experiment file"
            )

    @staticmethod
    def _unit(x_BD: Tensor) -> Tensor:
        """Unit length, in float32 whatever precision the model ran in."""
        return F.normalize(x_BD.float(), dim=-1)


def drawn_pairs(output: Output, batch: Batch) -> tuple[Tensor, Tensor]:
    """Places (3B,) of titles and of pictures: the true pairs, a false picture per title, a false title per picture.

    A false one is drawn from the softmax of its similarities; products of the same title are never drawn while there
    are others.
    """
    group_B = require(batch.groups, "groups", by="hard negatives").title_B
    noise_2BB = require(batch.gumbel_noise_2BB, "gumbel noise", by="hard negatives")
    with torch.no_grad():
        logits_BB = output.products(output.scales["title-image"] * output.embeddings["title"], "image")
        same_BB = group_B[:, None] == group_B
        both_2BB = torch.stack([logits_BB, logits_BB.T]).masked_fill(same_BB, -torch.inf)
        picture_B, title_B = (both_2BB + noise_2BB).argmax(-1)
    own_B = torch.arange(len(picture_B), device=picture_B.device)
    return torch.cat([own_B, own_B, title_B]), torch.cat([own_B, picture_B, own_B])


class DualEncoderModel(SharedSpaceModel):
    """Image tower and text tower, each with a linear projection to a shared space of `width`."""

    state_decoder: StateDecoder | None  # tells patches that the tower was not shown

    def __init__(self, image_tower: nn.Module, text_tower: nn.Module, width: int, temperature: float) -> None:
        super().__init__()
        self.image_tower = image_tower
        self.text_tower = text_tower
        self.add_space(image_tower.width, text_tower.width, width, temperature)
        self.width, self.temperature = width, temperature
        self.state_decoder = None

    def forward(self, batch: Batch) -> Output:
        """Embeddings of whatever the batch holds; of pairs to be judged, both towers' positions.

        Mixed pictures (mixup) do not enter the batch norms' statistics.
        """
        title, masked = batch.texts.get("title"), batch.views.get(MASKED)
        if batch.is_match_B is not None:
            return Output(states=self._positions(batch))
        if title is not None and title.targets_BT is not None:
            return Output(predictions={"words": self._hidden_words(title, title.targets_BT)})
        if masked is not None and masked.kept_BP is not None:
            return Output(predictions=self._left_out(masked, masked.kept_BP, batch))
        with frozen_running_stats(self) if batch.mixup else nullcontext():
            return self.embedded(batch)

    def add_word_decoder(self, settings: BlockSettings, vocabulary: int) -> None:
        """A block over the text tower's words, and a head, that tell hidden ones (MaskCLIP, arXiv:2208.12262)."""
        self.word_decoder = Encoder(1, settings)
        self.heads = nn.ModuleDict({"words": WordHead(settings.width, vocabulary)})

    def _hidden_words(self, title: Words, true_BT: Tensor) -> Prediction:
        asked_BT, head = true_BT != IGNORED, self.heads["words"]
        assert isinstance(head, WordHead)
        states_BTW = self.word_decoder(self.text_tower.read(title, "title")[1], Sight(title.real_BT))
        made_NV = head.logits(states_BTW[asked_BT], self.text_tower.vectors.weight)
        return Prediction(made=made_NV, true=true_BT[asked_BT])

    def _left_out(self, masked: Pictures, kept_BP: Tensor, batch: Batch) -> Mapping[str, Prediction]:
        """What is told of the patches that were not shown."""
        states_BPW = self.encode_image(Batch(pictures=masked))[1][-1]
        whole = require(batch.whole, "whole pictures", by="the objective msd")
        return require(self.state_decoder, "masked pictures", by="the objective msd")(states_BPW, kept_BP, whole)

    def _positions(self, batch: Batch) -> FusedStates:
        """Words and patches of the towers, each through its side's projection to the shared space."""
        words_BTW = self.text_tower.read(batch.texts["title"], "title")[1]
        pictures, cells = require(batch.pictures, "pictures", by="the image tower"), self.encode_image(batch)[1]
        kept_BP = pictures.kept_BP
        if kept_BP is None:
            kept_BP = torch.ones(cells[-1].shape[:2], dtype=torch.bool, device=words_BTW.device)
        return FusedStates(
            words_BTD=self.text_projection(words_BTW).float(),
            patches_BPD=self.image_projection(cells[-1]).float(),
            patch_real_BP=kept_BP,
        )

    def _pooled_image(self, batch: Batch) -> Tensor:
        return self.encode_image(batch)[0]

    def _pooled_text(self, words: Words, segment: str) -> Tensor:
        pooled_BW: Tensor = self.text_tower(words, segment)
        return pooled_BW

    @property
    def looks(self) -> int:
        """How many looks at a picture the image tower's output is the mean of."""
        return looks_of(self.image_tower)

    def look(self, batch: Batch, number: int) -> TowerOutput:
        """What one of several looks of the image tower gives: 0 is at the whole pictures, 1 at their center."""
        assert isinstance(self.image_tower, LookingTower)
        return self.image_tower.look(require(batch.pictures, "pictures", by="the image tower").pixels_B3YX, number)

    def encode_image(self, batch: Batch) -> TowerOutput:
        """The image tower's one vector per picture (B, W), and its cells (B, P, C) at one or several scales.

        If text was painted out, the mean over the painted picture and the original: painting over the product misleads
        as well, and the mean is better than either. This is for embeddings; answers take the most confident view
        (`predict.max_confidence_view`).
        """
        pictures = require(batch.pictures, "pictures", by="the image tower")
        painted = self._encode_once(pictures.pixels_B3YX, pictures.kept_BP)
        if pictures.original is None:
            return painted
        original = self._encode_once(pictures.original.original_pixels_B3YX, pictures.kept_BP)
        return mean_look(painted, original)

    def _encode_once(self, pixels_B3YX: Tensor, kept_BP: Tensor | None) -> TowerOutput:
        encoded: TowerOutput = (
            self.image_tower.encode(pixels_B3YX) if kept_BP is None else self.image_tower.encode(pixels_B3YX, kept_BP)
        )
        return encoded

    def features(
        self, batch: Batch, choices: Sequence[tuple[Modality, ...]], seen: TowerOutput | None = None
    ) -> dict[str, Tensor]:
        """What heads read, by choice of inputs: per input the tower's vector and its embedding, side by side (B, F).

        `seen`: what the image tower made of the pictures, where that is known.
        """
        wanted = {name for inputs in choices for name in inputs}
        parts = {}
        if "image" in wanted:
            parts["image"] = self.with_embedding("image", (seen or self.encode_image(batch))[0])
        if "title" in wanted:
            parts["title"] = self.with_embedding("title", self.text_tower(batch.texts["title"], "title"))
        return {inputs_name(inputs): torch.cat([parts[name] for name in inputs], dim=-1) for inputs in choices}

    def with_embedding(self, name: Modality, raw_BW: Tensor) -> Tensor:
        """(B, F): a tower's vectors and their embeddings, side by side."""
        projection = self.image_projection if name == "image" else self.text_projection
        return torch.cat([raw_BW, self._unit(projection(raw_BW))], dim=-1)

    def image_embedding(self, features_BF: Tensor) -> Tensor:
        """The pictures' unit vectors (B, width), out of `features` of the picture alone."""
        return features_BF[:, -self.width :]

    def feature_width(self, inputs: tuple[Modality, ...]) -> int:
        """F of that choice."""
        raw = {"image": self.image_tower.width, "title": self.text_tower.width}
        return sum(raw[name] + self.width for name in inputs)


def _two_layers(before: int, hidden: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(before, hidden, bias=False), nn.LayerNorm(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, after)
    )


@contextmanager
def frozen_running_stats(model: nn.Module) -> Iterator[None]:
    """Inside it, batch norms in training use the batch's statistics and do not update their running ones."""
    norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm2d) and part.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
