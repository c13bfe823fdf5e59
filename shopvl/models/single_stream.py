"""Words and patches in one sequence: one transformer over both (ViLT, arXiv:2102.03334), or two streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shopvl.batch import (
    IGNORED,
    MODALITIES,
    Batch,
    ClassGuesses,
    FeatureGuesses,
    FusedStates,
    Modality,
    Output,
    PairLogits,
    Pictures,
    Words,
    inputs_in,
    inputs_name,
    require,
)
from shopvl.models.attention import Block, Encoder, encode_real, mean_of_real
from shopvl.models.dual_encoder import SharedSpaceModel
from shopvl.models.inputs import CellInput, KaleidoInput, MapCells, PatchEmbedding, RegionInput, WordEmbedding
from shopvl.models.sight import Sight
from shopvl.models.two_streams import TwoStreams

# tasks on kaleido cells: the level whose states tell, and among how many answers
PUZZLES = {"rotation": (0, 4), "jigsaw": (1, 24), "camouflage": (2, 9)}


class SingleStreamModel(SharedSpaceModel):
    """`[CLS] words [SEP] patches` through one encoder, with heads for masked words and for matching.

    A missing input is not in the sequence, so one model serves picture, title, or both: it may also be made of one
    alone. A class token stands first where there are no words (ViT, arXiv:2010.11929). The encoder may also have two
    streams (ViLBERT, InterBERT): the match logit then reads the product of both their first states. With a `space`
    (width and temperature) the same encoder embeds a picture or a text alone, by the mean of its states (VLMo,
    arXiv:2111.02358). Each of `own_heads`, by an objective's name, reads the states of words and patches and the batch.
    """

    def __init__(
        self,
        patches: PatchEmbedding | MapCells | CellInput | None,
        words: WordEmbedding | None,
        encoder: Encoder | TwoStreams,
        width: int,
        guesses: bool = False,
        puzzles: Sequence[str] = (),
        region_tasks: RegionTasks | None = None,
        space: tuple[int, float] | None = None,
        own_heads: Mapping[str, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.width = width
        self.inputs: tuple[Modality, ...] = MODALITIES
        if patches is None:
            self.inputs = ("title",)
        else:
            self.patches = patches
            self.image_type = nn.Parameter(torch.randn(width) * 0.02)
            self.nothing = nn.Parameter(torch.randn(width) * 0.02)  # stands for [CLS] where there is no title
        if patches is not None and words is not None:
            self.match = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1))
        if words is None:
            self.inputs = ("image",)
        else:
            self.words = words
            self.word_transform = _transform(width)
            self.word_bias = nn.Parameter(torch.zeros(words.word.num_embeddings))
        if guesses and isinstance(patches, PatchEmbedding):  # the pixels of masked patches
            self.hidden = nn.Parameter(torch.randn(width) * 0.02)
            self.guess = nn.Linear(width, patches.patch.weight[0].numel())
        elif guesses and isinstance(patches, CellInput):  # their features
            self.guess = nn.Linear(width, patches.features)
        self.region_tasks = region_tasks
        self.own_heads = nn.ModuleDict(dict(own_heads or {}))
        if space is not None:
            self.add_space(None if patches is None else width, width, *space)
        if puzzles:
            assert isinstance(patches, KaleidoInput)
            self.puzzles = nn.ModuleDict(
                {
                    name: nn.Linear(width * _count(patches.levels[PUZZLES[name][0]]), PUZZLES[name][1])
                    for name in puzzles
                }
            )

    def forward(self, batch: Batch) -> Output:
        """States of both modalities after fusion, word logits (tied to the word embedding) and the match logit.

        Of an `embed_only` batch, embeddings.
        """
        if batch.embed_only:
            return self.embedded(batch)
        line = self._line(batch, inputs_in(batch))
        words_BTD, patches_BPD = self._fused(line)
        output = Output(
            states=FusedStates(
                words_BTD=words_BTD.float(), patches_BPD=patches_BPD.float(), patch_real_BP=line.patch_real_BP
            ),
            token_logits_NV=self._token_logits(words_BTD, batch.texts.get("title")),
            pairs=self._pairs(words_BTD, patches_BPD, batch),
            guesses={name: head(words_BTD, patches_BPD, batch).float() for name, head in self.own_heads.items()},
        )
        if batch.puzzles is not None:
            output = replace(output, puzzle_logits=self._puzzle_logits(patches_BPD))
        masked_BP = None if batch.pictures is None else batch.pictures.masked_BP
        return output if masked_BP is None else self._guessed(output, batch, line, patches_BPD, masked_BP)

    def _guessed(self, output: Output, batch: Batch, line: _Line, patches_BPD: Tensor, masked_BP: Tensor) -> Output:
        """The output with guesses at the masked patches."""
        if isinstance(self.patches, PatchEmbedding):
            return replace(output, patch_pixels_NC=self.guess(patches_BPD[masked_BP]).float())
        features_BPF = require(line.features_BPF, "cells", by="a guess at masked cells")
        if self.region_tasks is not None:
            assert isinstance(self.patches, RegionInput)
            masked_ND, features_NF = patches_BPD[masked_BP], features_BPF[masked_BP]
            return self.region_tasks(output, masked_ND, features_NF, self.patches.map.weight)
        guessed_NF = self.guess(patches_BPD[masked_BP]).float()
        target_NF = self._true_features(batch, features_BPF, masked_BP)
        return replace(output, patch_features=FeatureGuesses(predicted_NF=guessed_NF, target_NF=target_NF))

    def _pairs(self, words_BTD: Tensor, patches_BPD: Tensor, batch: Batch) -> PairLogits | None:
        """Only of a batch with both sides."""
        if inputs_in(batch) != MODALITIES:
            return None
        return PairLogits(match_logit_B=self._match_logit(words_BTD, patches_BPD), is_match_B=batch.is_match_B)

    def _match_logit(self, words_BTD: Tensor, patches_BPD: Tensor) -> Tensor:
        """(B,), from the first word's state, in two streams times the first patch's."""
        first_BD = words_BTD[:, 0]
        if isinstance(self.encoder, TwoStreams):
            first_BD = first_BD * patches_BPD[:, 0]
        return self.match(first_BD).squeeze(-1).float()

    def _token_logits(self, words_BTD: Tensor, words: Words | None) -> Tensor | None:
        """(N, V) for the N positions with a target, in reading order; the output map is the word embedding."""
        if words is None or words.targets_BT is None:
            return None
        masked_ND = words_BTD[words.targets_BT != IGNORED]
        return (self.word_transform(masked_ND) @ self.words.word.weight.T).float() + self.word_bias

    def _puzzle_logits(self, patches_BPD: Tensor) -> dict[str, Tensor]:
        """(B, K) for each task, from the states of its level side by side."""
        assert isinstance(self.patches, KaleidoInput)
        levels = self.patches.levels
        return {
            name: head(patches_BPD[:, levels[PUZZLES[name][0]]].flatten(1)).float()
            for name, head in self.puzzles.items()
        }

    def _true_features(self, batch: Batch, features_BPF: Tensor, masked_BP: Tensor) -> Tensor:
        """(N, F) of the masked cells, as they were before a task changed them; what is guessed carries no gradient."""
        if batch.puzzles is None:
            return features_BPF.detach()[masked_BP].float()
        assert isinstance(self.patches, CellInput)
        with torch.no_grad():
            return self.patches.cell_features(batch.puzzles.clean_BP3YX[masked_BP][None])[0].float()

    def cross_attention(self, batch: Batch) -> Tensor:
        """Attention of each word to each patch in the last block, mean of the heads: (B, T, P), without gradient."""
        with torch.no_grad():
            line = self._line(batch, ("image", "title"))
            states_BND = line.states_BND
            assert isinstance(self.encoder, Encoder)
            *blocks, last = self.encoder.blocks
            for block in blocks:
                states_BND = block(states_BND, Sight(line.real_BN), line.image_BN)
            assert isinstance(last, Block)
            shares_BNN = last.shares(states_BND, Sight(line.real_BN), line.image_BN)
            return shares_BNN[:, : line.words, line.words :].float()

    def picture(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The pictures' positions before fusion (B, P, D), which of them the encoder sees (B, P), and no embeddings
        (B, 0): false pairs are not drawn by any."""
        line = self._line(batch, ("image",))
        patches_BPD = line.states_BND[:, line.words :]
        return patches_BPD, line.real_BN[:, line.words :], patches_BPD.new_zeros(len(patches_BPD), 0)

    def match_score(self, title: Words, patches_BPD: Tensor, kept_BP: Tensor, image_B0: Tensor) -> Tensor:
        """The match logit (B,) of titles and pictures, the latter as `picture` gave them."""
        words_BTD = self.words(title, "title")
        real_BN = torch.cat([title.real_BT, kept_BP], dim=1)
        image_BN = (torch.arange(real_BN.shape[1], device=real_BN.device) >= words_BTD.shape[1]).expand_as(real_BN)
        states_BND = self.encoder(torch.cat([words_BTD, patches_BPD], dim=1), Sight(real_BN), image_BN)
        T = words_BTD.shape[1]
        return self._match_logit(states_BND[:, :T], states_BND[:, T:])

    def shared_layer(self) -> list[nn.Parameter]:
        """Weights that every loss has a gradient in: the last block's."""
        assert isinstance(self.encoder, Encoder)
        return list(self.encoder.blocks[-1].parameters())

    def features(self, batch: Batch, choices: Sequence[tuple[Modality, ...]]) -> dict[str, Tensor]:
        """What heads read, by choice of inputs: first state, mean word, mean patch (B, 3D); zeros for the absent. A
        model of one side alone has no place for the other (B, 2D)."""
        return {inputs_name(inputs): self._features(batch, inputs) for inputs in choices}

    def image_embedding(self, features_BF: Tensor) -> Tensor:
        """The pictures' unit vectors (B, width), out of `features` of the picture alone: of the mean patch."""
        self._need_space()
        return self._unit(self.image_projection(features_BF[:, -self.width :]))

    def feature_width(self, inputs: tuple[Modality, ...]) -> int:
        """F of that choice."""
        return (1 + len(self.inputs)) * self.width

    def _pooled_image(self, batch: Batch) -> Tensor:
        line = self._line(batch, ("image",))
        return mean_of_real(self._fused(line)[1], line.patch_real_BP)

    def _pooled_text(self, words: Words, segment: str) -> Tensor:
        words_BTD = self.words(words, segment)
        no_image_BT = torch.zeros_like(words.real_BT)
        return mean_of_real(self.encoder(words_BTD, Sight(words.real_BT), no_image_BT), words.real_BT)

    def _features(self, batch: Batch, inputs: tuple[Modality, ...]) -> Tensor:
        line = self._line(batch, inputs)
        words_BTD, patches_BPD = self._fused(line)
        parts = [words_BTD[:, 0]]
        nothing_BD = torch.zeros_like(parts[0])
        if "title" in self.inputs:
            titled = "title" in inputs
            parts.append(mean_of_real(words_BTD, batch.texts["title"].real_BT) if titled else nothing_BD)
        if "image" in self.inputs:
            parts.append(mean_of_real(patches_BPD, line.patch_real_BP) if "image" in inputs else nothing_BD)
        return torch.cat(parts, dim=-1)

    def _line(self, batch: Batch, inputs: tuple[Modality, ...]) -> _Line:
        """Words, then patches; one word without a title, no patch without a picture."""
        B, features_BPF, pictures = len(batch), None, batch.pictures
        if "title" in inputs:
            words_BTD = self.words(batch.texts["title"], "title")
            real_BT = batch.texts["title"].real_BT
        else:
            words_BTD = self.nothing.expand(B, 1, -1)
            real_BT = words_BTD.new_ones((B, 1), dtype=torch.bool)
        if "image" not in inputs:
            patches_BPD = words_BTD[:, :0]
        else:
            patches_BPD, features_BPF = self._patches(require(pictures, "pictures", by="single-stream"))
        kept_BP = pictures.kept_BP if pictures is not None and "image" in inputs else None
        patch_real_BP = patches_BPD.new_ones(patches_BPD.shape[:2], dtype=torch.bool)
        if kept_BP is not None:
            patch_real_BP = kept_BP
        states_BND = torch.cat([words_BTD, patches_BPD], dim=1)
        T, N = words_BTD.shape[1], states_BND.shape[1]
        real_BN = torch.cat([real_BT, patch_real_BP], dim=1)
        image_BN = (torch.arange(N, device=states_BND.device) >= T).expand(B, -1)
        return _Line(states_BND, real_BN, image_BN, T, features_BPF, patch_real_BP, packed=kept_BP is not None)

    def _fused(self, line: _Line) -> tuple[Tensor, Tensor]:
        """Word states (B, T, D) and patch states (B, P, D)."""
        if not line.packed:
            encoded_BND = self.encoder(line.states_BND, Sight(line.real_BN), line.image_BN)
        else:
            assert isinstance(self.encoder, Encoder)
            encoded_BND = encode_real(self.encoder, line.states_BND, Sight(line.real_BN), line.image_BN)
        return encoded_BND[:, : line.words], encoded_BND[:, line.words :]

    def _patches(self, pictures: Pictures) -> tuple[Tensor, Tensor | None]:
        """(B, P, D), and the features (B, P, F) of cells, if any; a patch to be guessed shows only where it is."""
        if isinstance(self.patches, CellInput):
            patches_BPD, features_BPF = self.patches(pictures)
            return patches_BPD + self.image_type, features_BPF
        patches_BPD = self.patches(pictures.pixels_B3YX)
        if pictures.masked_BP is not None:
            blank_PD = self.hidden + self.patches.position
            patches_BPD = torch.where(pictures.masked_BP[..., None], blank_PD, patches_BPD)
        return patches_BPD + self.image_type, None


class RegionTasks(nn.Module):
    """Heads for what masked regions were: their `features` and their `classes`, either only if asked for.

    Features are predicted through the transpose of the input's own map (UNITER's released code). Target classes come
    from a linear map of a region's features to K classes; it stands in for a detector and is trained along, as is the
    net that made the features, unless frozen.
    """

    def __init__(self, width: int, features: int, guess_features: bool, classes: int) -> None:
        super().__init__()
        self.to_map = _transform(width) if guess_features else None
        self.feature_bias = nn.Parameter(torch.zeros(features)) if guess_features else None
        self.tell = nn.Linear(features, classes) if classes else None
        self.guess = nn.Sequential(_transform(width), nn.Linear(width, classes)) if classes else None

    def forward(self, output: Output, masked_ND: Tensor, features_NF: Tensor, map_DF: Tensor) -> Output:
        """The output with guesses at N masked regions, and what they were."""
        if self.to_map is not None:
            guessed_NF = F.linear(self.to_map(masked_ND), map_DF.T, self.feature_bias).float()
            target_NF = features_NF.detach().float()
            output = replace(output, patch_features=FeatureGuesses(predicted_NF=guessed_NF, target_NF=target_NF))
        if self.tell is not None and self.guess is not None:
            target_NK, predicted_NK = self.tell(features_NF).float(), self.guess(masked_ND).float()
            output = replace(output, region_classes=ClassGuesses(predicted_NK=predicted_NK, target_NK=target_NK))
        return output


@dataclass(frozen=True)
class _Line:
    """Positions before fusion (B, N, D): `words` of words, then patches; and the features of cells, if it has any."""

    states_BND: Tensor
    real_BN: Tensor
    image_BN: Tensor
    words: int
    features_BPF: Tensor | None
    patch_real_BP: Tensor  # bool
    packed: bool  # dropped positions are not computed


def _transform(width: int) -> nn.Sequential:
    """BERT's transform before the prediction of masked positions."""
    return nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))


def _count(level: slice) -> int:
    return int(level.stop - level.start)
