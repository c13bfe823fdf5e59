"""Words and patches in one sequence: one transformer over both (ViLT, arXiv:2102.03334), or two streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from shopvl.batch import (
    MODALITIES,
    Batch,
    FusedStates,
    Modality,
    MovedStates,
    Output,
    Phrases,
    Pictures,
    Words,
    inputs_in,
    inputs_name,
    require,
)
from shopvl.models.attention import Block, Encoder, encode_real, mean_of_real
from shopvl.models.dictionary import DictionaryCells
from shopvl.models.dual_encoder import SharedSpaceModel, drawn_pairs
from shopvl.models.experts import ExpertEncoder
from shopvl.models.generation import Begun, LineWriter, MaskWriter
from shopvl.models.inputs import CellInput, MapCells, PatchEmbedding, RegionInput, WordEmbedding
from shopvl.models.locating import PlacesHead
from shopvl.models.picture_codes import CodesHead
from shopvl.models.prediction_heads import (
    Fused,
    HidesPatches,
    MatchHead,
    NextWordHead,
    PictureInput,
    PredictionHead,
    Tags,
    WordHead,
)
from shopvl.models.relating import RelationsHead
from shopvl.models.sight import Sight
from shopvl.models.tags import TaggedRegionInput
from shopvl.models.two_streams import TwoStreams
from shopvl.recipes.parts.fusion import SightName


class SingleStreamModel(SharedSpaceModel):
    """`[CLS] words [SEP] patches` through one encoder, with `heads` by name for what its objectives predict.

    A missing input is not in the sequence, so one model serves picture, title, or both: it may also be made of one
    alone. A class token stands first where there are no words (ViT, arXiv:2010.11929). What words see is its `sight`;
    where they see no later ones, the last of them stands for the whole (GPT). The encoder may also have two streams
    (ViLBERT, InterBERT): then the product of both their first states does. With a `space` (width and temperature) the
    same encoder embeds a picture or a text alone, by the mean of its states (VLMo, arXiv:2111.02358).
    """

    def __init__(
        self,
        patches: PictureInput | None,
        words: WordEmbedding | None,
        encoder: Encoder | TwoStreams,
        width: int,
        *,
        heads: Mapping[str, PredictionHead],
        sight: SightName = "bidirectional",
        space: tuple[int, float] | None = None,
        mask_id: int | None = None,
        draws_pairs: bool = False,
    ) -> None:
        super().__init__()
        self.draws_pairs = draws_pairs
        self.mask_id = mask_id
        self.encoder = encoder
        self.width = width
        self.sight: SightName = sight
        self.inputs: tuple[Modality, ...] = MODALITIES
        self.heads = nn.ModuleDict(dict(heads))
        if patches is None:
            self.inputs = ("title",)
        else:
            self.patches = patches
            self.image_type = nn.Parameter(torch.randn(width) * 0.02)
            self.nothing = nn.Parameter(torch.randn(width) * 0.02)  # stands for [CLS] where there is no title
        if words is None:
            self.inputs = ("image",)
        else:
            self.words = words
        if space is not None:
            self.add_space(None if patches is None else width, width, *space)

    def forward(self, batch: Batch) -> Output:
        """States of both modalities after fusion, and what the heads predict from them.

        Of an `embed_only` batch, embeddings; of one to `rebuild`, its pictures made of codes.
        """
        if batch.embed_only:
            return self.embedded(batch)
        if batch.rebuild:
            head = self.heads["codes"]
            assert isinstance(head, CodesHead)
            return Output(predictions=head.rebuilt(require(batch.pictures, "pictures", by="the objective vq")))
        if batch.gumbel_noise_2BB is not None:
            return self._drawn(batch)
        seen, line = self._seen(batch)
        states = FusedStates(
            words_BTD=seen.words_BTD.float(),
            patches_BPD=seen.patches_BPD.float(),
            patch_real_BP=line.patch_real_BP,
        )
        predictions = {name: made for head in self.heads.values() for name, made in head(seen).items()}
        return Output(states=states, predictions=predictions)

    def _drawn(self, batch: Batch) -> Output:
        """Embeddings of whatever the batch holds, and the judgement of true pairs and of false ones drawn by these."""
        apart, title = self.embedded(batch), batch.texts["title"]
        pictures = require(batch.pictures, "pictures", by="hard negatives")
        title_N, image_N = drawn_pairs(apart, batch)
        group_B = require(batch.groups, "groups", by="hard negatives").title_B
        pairs = Batch(
            pictures=pictures.rows(image_N),
            texts={"title": title.rows(title_N)},
            is_match_B=group_B[title_N] == group_B[image_N],
        )
        return replace(self(pairs), embeddings=apart.embeddings, scales=apart.scales)

    def locate(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Where the batch's phrases are in its pictures, as `PlacesHead.told` says it."""
        head = self.heads["places"]
        assert isinstance(head, PlacesHead)
        return head.told(self._seen(batch)[0])

    def relate(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """What the batch's pictures say to its statements, which are its phrases, as `RelationsHead.told` says it."""
        head = self.heads["relations"]
        assert isinstance(head, RelationsHead)
        return head.told(self._seen(batch)[0])

    def _seen(self, batch: Batch) -> tuple[Fused, _Line]:
        """What heads read of a batch, and the line before fusion."""
        inputs = inputs_in(batch)
        line = self._line(batch, inputs)
        words_BTD, patches_BPD = self._fused(line)
        seen = Fused(
            batch,
            words_BTD,
            patches_BPD,
            self._whole(words_BTD, patches_BPD, line.real_BN[:, : line.words]),
            line.features_BPF,
            self.words if "title" in inputs else None,
            self.patches if "image" in inputs else None,
            line.patch_real_BP,
            line.tags,
        )
        return seen, line

    def _whole(self, words_BTD: Tensor, patches_BPD: Tensor, real_BT: Tensor) -> Tensor:
        """(B, D): what stands for the words, in two streams times the first patch's state, if there is one."""
        words_BD = self._state_of(words_BTD, real_BT)
        if isinstance(self.encoder, TwoStreams) and self.encoder.joined and patches_BPD.shape[1]:
            return words_BD * patches_BPD[:, 0]
        return words_BD

    def _state_of(self, words_BTD: Tensor, real_BT: Tensor) -> Tensor:
        """(B, D): the first word's state, or the last's where words see none after them."""
        if self.sight in ("causal", "seq2seq"):
            return words_BTD[torch.arange(len(words_BTD), device=words_BTD.device), real_BT.sum(1) - 1]
        return words_BTD[:, 0]

    def cross_attention(self, batch: Batch) -> Tensor:
        """Attention of each word to each patch in the last block, mean of the heads: (B, T, P), without gradient."""
        with torch.no_grad():
            line = self._line(batch, ("image", "title"))
            states_BND = line.states_BND
            assert isinstance(self.encoder, Encoder)
            *blocks, last = self.encoder.blocks
            for block in blocks:
                states_BND = block(states_BND, line.sight, line.image_BN)
            assert isinstance(last, Block)
            shares_BNN = last.shares(states_BND, line.sight, line.image_BN)
            return shares_BNN[:, : line.words, line.words :].float()

    def picture(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The pictures' positions before fusion (B, P, D), which of them the encoder sees (B, P), and embeddings, or
        none (B, 0) where false pairs are not drawn by any."""
        line = self._line(batch, ("image",))
        patches_BPD = line.states_BND[:, line.words :]
        vectors_BW = self.embed_image(batch) if self.draws_pairs else patches_BPD.new_zeros(len(patches_BPD), 0)
        return patches_BPD, line.real_BN[:, line.words :], vectors_BW

    def match_score(self, title: Words, patches_BPD: Tensor, kept_BP: Tensor, image_BW: Tensor) -> Tensor:
        """How well (B,) titles and pictures fit, the latter as `picture` gave them: the match logit.

        Where false pairs were drawn by cosines, with the scaled cosine, as `OverTowersModel.match_score` has it.
        """
        if not image_BW.shape[1]:
            return self._match_logit(title, patches_BPD, kept_BP)
        cosine_B = (self.embed_text(title, "title") * image_BW).sum(-1)
        return self._match_logit(title, patches_BPD, kept_BP) + self.scales()["title-image"] * cosine_B

    def _match_logit(self, title: Words, patches_BPD: Tensor, kept_BP: Tensor) -> Tensor:
        words_BTD = self.words(title, "title")
        real_BN = torch.cat([title.real_BT, kept_BP], dim=1)
        T = words_BTD.shape[1]
        image_BN = (torch.arange(real_BN.shape[1], device=real_BN.device) >= T).expand_as(real_BN)
        states_BND = self.encoder(
            torch.cat([words_BTD, patches_BPD], dim=1), self._sight(real_BN, image_BN, title), image_BN
        )
        head = self.heads["match"]
        assert isinstance(head, MatchHead)
        words_BTD, patches_BPD = states_BND[:, :T], states_BND[:, T:]
        whole_BD = self._whole(words_BTD, patches_BPD, title.real_BT)
        return head.logit(whole_BD, (words_BTD, title.real_BT), (patches_BPD, kept_BP))

    def begin(self, batch: Batch) -> tuple[Begun, LineWriter]:
        """The batch read, whose titles are what is written so far, without an end; and how they go on.

        For a model that was trained to predict the next word, or hidden ones from those before them
        (`shopvl/models/generation.py`).
        """
        line = self._line(batch, inputs_in(batch))
        return self._begun(line.states_BND, line.real_BN, line.image_BN, batch.texts["title"])

    def begin_beside(self, given: Words, patches_BPD: Tensor, kept_BP: Tensor) -> tuple[Begun, LineWriter]:
        """`begin`, where pictures are as `picture` gave them."""
        real_BN = torch.cat([given.real_BT, kept_BP], dim=1)
        T = given.ids_BT.shape[1]
        image_BN = (torch.arange(real_BN.shape[1], device=real_BN.device) >= T).expand_as(real_BN)
        states_BND = torch.cat([self.words(given, "title"), patches_BPD], dim=1)
        return self._begun(states_BND, real_BN, image_BN, given)

    def _begun(self, states_BND: Tensor, real_BN: Tensor, image_BN: Tensor, given: Words) -> tuple[Begun, LineWriter]:
        """A line of words and patches, before fusion, read."""
        assert isinstance(self.encoder, Encoder)
        head = self.heads["next-word" if "next-word" in self.heads else "words"]
        assert isinstance(head, NextWordHead | WordHead)

        def to_logits(states: Tensor) -> Tensor:
            return head.logits(states, self.words.word.weight)

        writer = LineWriter(self.words, self.encoder, to_logits)
        if isinstance(head, WordHead):
            mask_id = require(self.mask_id, "[MASK]", by="a writer that tells hidden words")
            writer = MaskWriter(self.words, self.encoder, to_logits, mask_id=mask_id)
        sight = self._sight(real_BN, image_BN, given, writing=True)
        return writer.begin(states_BND, sight, real_BN & ~image_BN, image_BN), writer

    def shared_layer(self) -> list[nn.Parameter]:
        """Weights that every loss has a gradient in: the last block's."""
        assert isinstance(self.encoder, Encoder)
        return list(self.encoder.blocks[-1].parameters())

    def features(self, batch: Batch, choices: Sequence[tuple[Modality, ...]]) -> dict[str, Tensor]:
        """What linear heads read, by choice of inputs: first or last word, mean word, mean patch (B, 3D).

        Zeros for what is absent; a model of one side alone has no place for the other (B, 2D).
        """
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
        sight = self._sight(words.real_BT, no_image_BT, words)
        return mean_of_real(self.encoder(words_BTD, sight, no_image_BT), words.real_BT)

    def _features(self, batch: Batch, inputs: tuple[Modality, ...]) -> Tensor:
        line = self._line(batch, inputs)
        words_BTD, patches_BPD = self._fused(line)
        parts = [self._state_of(words_BTD, line.real_BN[:, : line.words])]
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
        elif batch.phrases is not None:
            words_BTD, real_BT = self._phrases(batch.phrases)
        else:
            words_BTD = self.nothing.expand(B, 1, -1)
            real_BT = words_BTD.new_ones((B, 1), dtype=torch.bool)
        if "image" not in inputs:
            patches_BPD = words_BTD[:, :0]
        else:
            shown = require(pictures, "pictures", by="single-stream")
            patches_BPD, features_BPF = self._patches(shown)
            if isinstance(self.patches, RegionInput) and features_BPF is not None:
                words_BTD = words_BTD + self.patches.for_words(features_BPF, shown)
        tags = None
        if features_BPF is not None and isinstance(self.patches, TaggedRegionInput):
            tags = self.patches.tags(features_BPF, batch.tags, self.mask_id)
            # tags are words in the picture as far as a text's kind goes
            tags_BGD = self.words.at(tags.words.ids_BT, self.patches.places(), "ocr")
            patches_BPD = torch.cat([patches_BPD, tags_BGD], dim=1)
        kept_BP = pictures.kept_BP if pictures is not None and "image" in inputs else None
        patch_real_BP = patches_BPD.new_ones(patches_BPD.shape[:2], dtype=torch.bool)
        if kept_BP is not None:
            patch_real_BP = kept_BP
        if tags is not None:
            patch_real_BP = torch.cat([patch_real_BP[:, : -tags.true_BG.shape[1]], tags.words.real_BT], dim=1)
        if batch.moved is not None:
            words_BTD, patches_BPD = _moved(words_BTD, patches_BPD, batch.moved)
        states_BND = torch.cat([words_BTD, patches_BPD], dim=1)
        T, N = words_BTD.shape[1], states_BND.shape[1]
        real_BN = torch.cat([real_BT, patch_real_BP], dim=1)
        # what stands first in a picture's line is its own, where modalities have networks of their own
        worded = "title" in inputs or batch.phrases is not None
        first = T if worded or not isinstance(self.encoder, ExpertEncoder) else 0
        image_BN = (torch.arange(N, device=states_BND.device) >= first).expand(B, -1)
        sight = self._sight(real_BN, image_BN, batch.texts.get("title"))
        packed = kept_BP is not None
        return _Line(states_BND, real_BN, image_BN, T, features_BPF, patch_real_BP, packed, sight, tags)

    def _phrases(self, phrases: Phrases) -> tuple[Tensor, Tensor]:
        """Each phrase as one position, the mean of its pieces (B, N, D), and which there are (B, N)."""
        real_BNQ = phrases.real_BNQ
        places_Q = torch.arange(real_BNQ.shape[2], device=real_BNQ.device)
        pieces_BNQD = self.words.at(phrases.ids_BNQ, places_Q, "query") * real_BNQ[..., None]
        return pieces_BNQD.sum(2) / real_BNQ.sum(2, keepdim=True).clamp(min=1), real_BNQ.any(2)

    def _sight(self, real_BN: Tensor, image_BN: Tensor, title: Words | None, *, writing: bool = False) -> Sight:
        """Of a line of words and then patches; the picture comes before all words."""
        given_B = None if title is None else title.given_B
        match self.sight:
            case "bidirectional":
                return Sight(real_BN)
            case "either" if writing or (title is not None and title.next_BT is not None):
                return Sight.seq2seq(real_BN, image_BN)
            case "causal" if bool(image_BN.any()):
                place_N = torch.arange(real_BN.shape[1], device=real_BN.device)
                return Sight(real_BN, (place_N - (~image_BN).sum(1, keepdim=True)) % real_BN.shape[1])
            case "causal":
                return Sight.causal(real_BN)
            case "seq2seq":
                return Sight.seq2seq(real_BN, image_BN)
            case "prefix" | "either":
                if given_B is None:
                    return Sight(real_BN)
                place_N = torch.arange(real_BN.shape[1], device=real_BN.device)
                return Sight.seq2seq(real_BN, image_BN | (place_N < given_B[:, None]))

    def _fused(self, line: _Line) -> tuple[Tensor, Tensor]:
        """Word states (B, T, D) and patch states (B, P, D)."""
        if not line.packed:
            encoded_BND = self.encoder(line.states_BND, line.sight, line.image_BN)
        else:
            assert isinstance(self.encoder, Encoder)
            encoded_BND = encode_real(self.encoder, line.states_BND, line.sight, line.image_BN)
        return encoded_BND[:, : line.words], encoded_BND[:, line.words :]

    def _patches(self, pictures: Pictures) -> tuple[Tensor, Tensor | None]:
        """(B, P, D), and the features (B, P, F) of cells, if any; a patch to be guessed shows only where it is."""
        if isinstance(self.patches, CellInput):
            patches_BPD, features_BPF = self.patches(pictures)
            return patches_BPD + self.image_type, features_BPF
        if isinstance(self.patches, DictionaryCells):
            patches_BPD, cells_BPD = self.patches.looked_up(pictures)
            return patches_BPD + self.image_type, cells_BPD
        if pictures.masked_BP is None:
            return self.patches(pictures.pixels_B3YX) + self.image_type, None
        assert isinstance(self.patches, PatchEmbedding | MapCells)
        return self.patches(pictures.pixels_B3YX, pictures.masked_BP, self._blank()) + self.image_type, None

    def _blank(self) -> Tensor:
        """(D,): what stands for a masked patch: a head's own vector, or that of a masked word."""
        for head in self.heads.values():
            if isinstance(head, HidesPatches):
                return head.hidden
        return self.words.word.weight[require(self.mask_id, "[MASK]", by="masked cells")]


def _moved(words_BTD: Tensor, patches_BPD: Tensor, moved: MovedStates) -> tuple[Tensor, Tensor]:
    """States with what is added to them."""
    words = words_BTD if moved.words_BTD is None else words_BTD + moved.words_BTD
    patches = patches_BPD if moved.patches_BPD is None else patches_BPD + moved.patches_BPD
    return words, patches


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
    sight: Sight
    tags: Tags | None  # the last of the patches
