"""Heads that predict from fused states, each with what is true, so that one loss judges them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shopvl.batch import IGNORED, Batch, Pictures, Prediction, Words, require
from shopvl.models.attention import mean_of_real
from shopvl.models.inputs import (
    CellInput,
    KaleidoInput,
    MapCells,
    PatchEmbedding,
    PrefixVectors,
    RegionInput,
    WordEmbedding,
)
from shopvl.recipes.parts.objective_part import ObjectivePart

PictureInput = PatchEmbedding | MapCells | PrefixVectors | CellInput
# tasks on kaleido cells: the level whose states tell, and among how many answers
PUZZLES = {"rotation": (0, 4), "jigsaw": (1, 24), "camouflage": (2, 9)}
CHANGED_LEVELS = {"grey": 3, "blank": 4}  # whose masked cells have lost their colours, or all


@dataclass(frozen=True)
class Site:
    """Where a head is built: how wide states are, what words and pictures enter by, how many facts there are, and which
    of them say what a thing is (`things`): of a product one such holds, where several others do."""

    width: int
    facts: int
    things: tuple[int, ...] = ()
    words: WordEmbedding | None = None
    patches: PictureInput | None = None


@dataclass(frozen=True)
class Tags:
    """Words that say what pictures show (B, G), as they are read and as they are."""

    words: Words
    true_BG: Tensor  # int64
    hidden_BG: Tensor  # bool: to be guessed


@dataclass(frozen=True)
class Fused:
    """What heads read: a batch's states after fusion, and what its words and pictures entered by."""

    batch: Batch
    words_BTD: Tensor  # of a class token alone, where there is no title
    patches_BPD: Tensor
    whole_BD: Tensor  # the state that stands for the whole product
    features_BPF: Tensor | None = None  # of cells, before fusion
    words: WordEmbedding | None = None
    patches: PictureInput | None = None
    patch_real_BP: Tensor | None = None  # bool; None: all that the batch keeps
    tags: Tags | None = None  # the last of the patches

    def picture(self, by: str) -> tuple[Tensor, Tensor]:
        """States of the picture's positions (B, P, D), and which of them are real (B, P)."""
        if self.patch_real_BP is not None:
            return self.patches_BPD, self.patch_real_BP
        kept_BP = require(self.batch.pictures, "pictures", by=by).kept_BP
        if kept_BP is None:
            kept_BP = torch.ones(self.patches_BPD.shape[:2], dtype=torch.bool, device=self.patches_BPD.device)
        return self.patches_BPD, kept_BP

    def regions_and_tags(self, by: str) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """`picture`, of the regions and of the tags behind them."""
        count = require(self.tags, "changes of tags", by=by).true_BG.shape[1]
        states_BPD, real_BP = self.picture(by)
        return (states_BPD[:, :-count], real_BP[:, :-count]), (states_BPD[:, -count:], real_BP[:, -count:])

    @property
    def masked(self) -> Tensor | None:
        """(B, P) bool: the patches to be guessed."""
        return None if self.batch.pictures is None else self.batch.pictures.masked_BP

    def true_features(self, masked_BP: Tensor) -> Tensor:
        """(N, F) of the masked cells, as they were before a task changed them, without gradient."""
        if self.batch.puzzles is None:
            return require(self.features_BPF, "cells", by="a guess at masked cells").detach()[masked_BP].float()
        assert isinstance(self.patches, CellInput)
        with torch.no_grad():
            return self.patches.cell_features(self.batch.puzzles.clean_BP3YX[masked_BP][None])[0].float()


class PredictionHead(nn.Module):
    """What every head does; each may own weights, and be tied to those of an input."""

    def forward(self, seen: Fused) -> Mapping[str, Prediction]:
        """What it predicts of that batch, by name; nothing where the batch has nothing of the kind."""
        raise NotImplementedError


class MatchHead(PredictionHead):
    """Whether picture and title belong together: from the state of the whole, and from how far the mean state of the
    words fits that of the patches, each centred and scaled over the pairs.

    In a model that begins with random weights hardly 1% of these states' energy differs from pair to pair; the rest,
    the same for all, drowns the head's gradient in noise, and it stays at chance for long. A batch norm without weights
    of its own (arXiv:1502.03167) takes it away; untrained, and in use, it is a constant shift and scale. And one state
    tells nothing of a pair before attention has learned to compare: a bilinear form of two (low-rank, arXiv:1610.04325)
    has a gradient from the first step on. It begins at zero.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width, affine=False)
        self.map = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1))
        self.title_norm, self.picture_norm = (nn.BatchNorm1d(width, affine=False) for _ in range(2))
        self.title_map, self.picture_map = (nn.Linear(width, width, bias=False) for _ in range(2))
        nn.init.zeros_(self.picture_map.weight)

    def forward(self, seen: Fused) -> Mapping[str, Prediction]:
        """`match`, where pairs were shuffled."""
        true_B = seen.batch.is_match_B
        if true_B is None:
            return {}
        words = (seen.words_BTD, seen.batch.texts["title"].real_BT)
        made_B = self.logit(seen.whole_BD, words, seen.picture(by="the match head"))
        return {"match": Prediction(made=made_B, true=true_B)}

    def logit(self, whole_BD: Tensor, words: tuple[Tensor, Tensor], patches: tuple[Tensor, Tensor]) -> Tensor:
        """(B,); > 0: they do. Words are their states (B, T, D) and which are real (B, T), and so are patches."""
        title_BD = self.title_map(self.title_norm(mean_of_real(*words).float()))
        picture_BD = self.picture_map(self.picture_norm(mean_of_real(*patches).float()))
        fit_B = (title_BD * picture_BD).float().sum(-1) / title_BD.shape[1] ** 0.5
        return self.map(self.norm(whole_BD.float())).squeeze(-1).float() + fit_B


class _TitleHead(PredictionHead):
    """Tells words of the title by the word embedding itself."""

    told: str  # the name of what it predicts

    def forward(self, seen: Fused) -> Mapping[str, Prediction]:
        """At the positions that are asked for, in reading order."""
        title = seen.batch.texts.get("title")
        true_BT = None if title is None else self.true(title)
        if true_BT is None:
            return {}
        asked_BT, words = true_BT != IGNORED, require(seen.words, "a title", by=f"the head of {self.told}")
        made_NV = self.logits(seen.words_BTD[asked_BT], words.word.weight)
        return {self.told: Prediction(made=made_NV, true=true_BT[asked_BT])}

    def true(self, title: Words) -> Tensor | None:
        """(B, T): the ids to tell, IGNORED elsewhere; None where nothing is asked."""
        raise NotImplementedError

    def logits(self, states_ND: Tensor, vectors_VD: Tensor) -> Tensor:
        """(N, V)."""
        raise NotImplementedError


class WordHead(_TitleHead):
    """Masked words (`words`), by BERT's transform (arXiv:1810.04805)."""

    told = "words"

    def __init__(self, width: int, vocabulary: int) -> None:
        super().__init__()
        self.transform = transform(width)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, seen: Fused) -> Mapping[str, Prediction]:
        """Those of the title, and of tags behind regions."""
        told, tags = super().forward(seen), seen.tags
        if not told or tags is None:
            return told
        states_BGD = seen.regions_and_tags(by="the head of masked words")[1][0]
        words = require(seen.words, "a title", by="the head of masked words")
        made_NV = self.logits(states_BGD[tags.hidden_BG], words.word.weight)
        title = told[self.told]
        both = torch.cat([title.made, made_NV]), torch.cat([title.true, tags.true_BG[tags.hidden_BG]])
        return {self.told: Prediction(made=both[0], true=both[1])}

    def true(self, title: Words) -> Tensor | None:
        """The masked words."""
        return title.targets_BT

    def logits(self, states_ND: Tensor, vectors_VD: Tensor) -> Tensor:
        """(N, V)."""
        return (self.transform(states_ND) @ vectors_VD.T).float() + self.bias


class NextWordHead(_TitleHead):
    """The word that follows (`next-word`; GPT-2); without weights of its own."""

    told = "next-word"

    def true(self, title: Words) -> Tensor | None:
        """The words that follow."""
        return title.next_BT

    def logits(self, states_ND: Tensor, vectors_VD: Tensor) -> Tensor:
        """(N, V)."""
        return (states_ND @ vectors_VD.T).float()


class HidesPatches(PredictionHead):
    """It tells something of masked patches; `hidden` stands for each on the line."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Parameter(torch.randn(width) * 0.02)


class PixelHead(HidesPatches):
    """Pixels of masked patches, each patch's own mean and spread taken off (MAE, arXiv:2111.06377)."""

    def __init__(self, width: int, patch_px: int) -> None:
        super().__init__(width)
        self.patch_px = patch_px
        self.map = nn.Linear(width, 3 * patch_px**2)

    def forward(self, seen: Fused) -> Mapping[str, Prediction]:
        """`pixels` (N, C), C = 3 x patch x patch."""
        masked_BP = seen.masked
        if masked_BP is None:
            return {}
        pictures = require(seen.batch.pictures, "pictures", by="the head of pixels")
        true_NC = normed_pixels(pictures, self.patch_px, masked_BP)
        return {"pixels": Prediction(made=self.map(seen.patches_BPD[masked_BP]).float(), true=true_NC)}


class FeatureHead(PredictionHead):
    """Features of masked cells; of kaleido cells those that turned grey and those that turned blank by themselves."""

    def __init__(self, width: int, features: int, levels: tuple[slice, ...] | None = None) -> None:
        super().__init__()
        self.levels = levels
        self.map = nn.Linear(width, features)

    def forward(self, seen: Fused) -> Mapping[str, Prediction]:
        """`features` (N, F), or `grey` and `blank`."""
        masked_BP = seen.masked
        if masked_BP is None:
            return {}
        made_NF, true_NF = self.map(seen.patches_BPD[masked_BP]).float(), seen.true_features(masked_BP)
        if self.levels is None:
            return {"features": Prediction(made=made_NF, true=true_NF)}
        place_N, found = masked_BP.nonzero()[:, 1], {}
        for name, level in CHANGED_LEVELS.items():
            own_N = (place_N >= self.levels[level].start) & (place_N < self.levels[level].stop)
            found[name] = Prediction(made=made_NF[own_N], true=true_NF[own_N])
        return found


class RegionFeatureHead(PredictionHead):
    """Features of masked regions, through the transpose of the input's own map (UNITER's released code)."""

    def __init__(self, width: int, features: int) -> None:
        super().__init__()
        self.transform = transform(width)
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, seen: Fused) -> Mapping[str, Prediction]:
        """`region-features` (N, F)."""
        masked_BP = seen.masked
        if masked_BP is None:
            return {}
        assert isinstance(seen.patches, RegionInput)
        made_NF = F.linear(self.transform(seen.patches_BPD[masked_BP]), seen.patches.map.weight.T, self.bias)
        return {"region-features": Prediction(made=made_NF.float(), true=seen.true_features(masked_BP))}


class RegionClassHead(PredictionHead):
    """Classes of masked regions, from what stands around them; and of each from its own features.

    The latter is a linear map to K classes that stands in for a detector. It is trained along, as is the net that made
    the features, unless frozen, by what each region is known to show, all facts alike; the last class says that nothing
    is known, as of a region without product. One class of a region is the likeliest of the `things`, or of all classes
    but the last.
    """

    things_T: Tensor

    def __init__(self, width: int, features: int, classes: int, things: Sequence[int] = ()) -> None:
        super().__init__()
        self.register_buffer("things_T", torch.tensor(things or range(classes - 1)), persistent=False)
        self.tell = nn.Linear(features, classes)
        self.guess = nn.Sequential(transform(width), nn.Linear(width, classes))

    def forward(self, seen: Fused) -> Mapping[str, Prediction]:
        """`region-classes` and `region-labels` (N, K), and `region-class` (N,)."""
        pictures, masked_BP = seen.batch.pictures, seen.masked
        if pictures is None or masked_BP is None:
            return {}
        cells = require(pictures.cells, "cells", by="the head of region classes")
        facts_BPK = require(cells.facts_BPK, "region facts", by="the head of region classes")
        features_BPF = require(seen.features_BPF, "cells", by="a guess at masked regions")
        told_NK = self.tell(features_BPF[masked_BP]).float()
        guessed_NK = self.guess(seen.patches_BPD[masked_BP]).float()
        return {
            "region-classes": Prediction(made=guessed_NK, true=told_NK.detach()),
            "region-class": Prediction(made=guessed_NK, true=self.things_T[told_NK[:, self.things_T].argmax(1)]),
            "region-labels": Prediction(made=told_NK, true=shares_of_facts(facts_BPK[masked_BP])),
        }


class RegionFactsHead(PredictionHead):
    """Which facts each region is known to show, all alike, by the map that its classes or tags come from; the last
    class says that nothing is known."""

    def forward(self, seen: Fused) -> Mapping[str, Prediction]:
        """`region-facts` (N, K), of all regions that are not empty."""
        if seen.features_BPF is None or seen.batch.pictures is None:
            return {}
        assert isinstance(seen.patches, RegionInput)
        cells, tell = seen.patches.cells_of(seen.batch.pictures), seen.patches.tell
        if cells.facts_BPK is None:
            return {}
        real_BP = cells.boxes_BP5[..., 4] > 0
        told_NK = tell(seen.features_BPF[real_BP]).float()
        return {"region-facts": Prediction(made=told_NK, true=shares_of_facts(cells.facts_BPK[real_BP]))}


class PuzzleHead(PredictionHead):
    """The answer to a puzzle on kaleido cells, from the states of its level side by side."""

    def __init__(self, name: str, width: int, level: slice) -> None:
        super().__init__()
        self.name, self.level = name, level
        self.map = nn.Linear(width * int(level.stop - level.start), PUZZLES[name][1])

    def forward(self, seen: Fused) -> Mapping[str, Prediction]:
        """The puzzle's name, (B, K)."""
        if seen.batch.puzzles is None:
            return {}
        made_BK = self.map(seen.patches_BPD[:, self.level].flatten(1)).float()
        return {self.name: Prediction(made=made_BK, true=seen.batch.puzzles.answers[self.name])}


class FactHead(PredictionHead):
    """Which of the ontology's facts hold for a product, from its picture alone: one linear map of the whole's state."""

    def __init__(self, width: int, facts: int) -> None:
        super().__init__()
        self.map = nn.Linear(width, facts)

    def forward(self, seen: Fused) -> Mapping[str, Prediction]:
        """`facts` (N, K), of the products that any is known of: all true ones alike."""
        if seen.batch.texts or seen.batch.facts is None:
            return {}
        true_BK = seen.batch.facts.product_BK
        known_B = true_BK.any(1)
        true_NK = true_BK[known_B].float()
        made_NK = self.map(seen.whole_BD[known_B]).float()
        return {"facts": Prediction(made=made_NK, true=true_NK / true_NK.sum(1, keepdim=True))}


class AskedFactHead(PredictionHead):
    """The fact that a question in the title's place asks for, among all, by LXMERT's two layers (arXiv:1908.07490)."""

    def __init__(self, width: int, facts: int) -> None:
        super().__init__()
        wide = 2 * width
        self.map = nn.Sequential(nn.Linear(width, wide), nn.GELU(), nn.LayerNorm(wide), nn.Linear(wide, facts))

    def forward(self, seen: Fused) -> Mapping[str, Prediction]:
        """`asked-fact` (N, K), of the products that one is known of."""
        fact_B = seen.batch.answer_B
        if fact_B is None:
            return {}
        known_B = fact_B != IGNORED
        return {"asked-fact": Prediction(made=self.map(seen.whole_BD[known_B]).float(), true=fact_B[known_B])}


def build_head(name: str, site: Site, part: ObjectivePart) -> PredictionHead:
    """The head of that name, as objectives ask for it."""
    width, patches = site.width, site.patches
    match name:
        case "match":
            return MatchHead(width)
        case "words":
            words = require(site.words, "a title", by="the head of masked words")
            return WordHead(width, words.word.num_embeddings)
        case "next-word":
            return NextWordHead()
        case "asked-fact":
            return AskedFactHead(width, site.facts)
        case "facts":
            return FactHead(width, site.facts)
        case "masked-patches" if isinstance(patches, PatchEmbedding):
            return PixelHead(width, patches.patch.kernel_size[0])
        case "masked-patches" if isinstance(patches, CellInput):
            return FeatureHead(width, patches.features, patches.levels if isinstance(patches, KaleidoInput) else None)
        case "region-features" if isinstance(patches, RegionInput):
            return RegionFeatureHead(width, patches.features)
        case "region-facts" if isinstance(patches, RegionInput):
            return RegionFactsHead()
        case "region-classes" if isinstance(patches, RegionInput):
            return RegionClassHead(width, patches.features, site.facts + 1, site.things)
        case _ if isinstance(patches, KaleidoInput):
            return PuzzleHead(name, width, patches.levels[PUZZLES[name][0]])
        case _:
            raise AssertionError(f"problems() lets no {name} through on {type(patches).__name__}")


def shares_of_facts(facts_NK: Tensor) -> Tensor:
    """(N, K + 1): all facts of a region alike, or the last class where there are none."""
    known_NK = torch.cat([facts_NK, ~facts_NK.any(1, keepdim=True)], dim=1).float()
    return known_NK / known_NK.sum(1, keepdim=True)


def normed_pixels(pictures: Pictures, patch_px: int, masked_BP: Tensor) -> Tensor:
    """(N, C): the pixels of those patches, each patch's own mean and spread taken off."""
    cells_BPC = F.unfold(pictures.pixels_B3YX, patch_px, stride=patch_px).transpose(1, 2)
    true_NC = cells_BPC[masked_BP]
    return (true_NC - true_NC.mean(1, keepdim=True)) / (true_NC.std(1, keepdim=True) + 1e-3)


def transform(width: int) -> nn.Sequential:
    """BERT's transform before the prediction of masked positions."""
    return nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
