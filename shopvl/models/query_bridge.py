"""Learned queries between a picture and words (Q-Former), and before a language model that stays (BLIP-2).

The blocks of a text transformer are shared: queries and words attend to each other through them, as a sight says.
Queries alone look at the picture, in some of the blocks, and have a network of their own in each (arXiv:2301.12597).
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shopvl.batch import IGNORED, QUERY_VECTORS, Batch, Modality, Output, Prediction, Words, require
from shopvl.models.attention import Block, BlockSettings, Encoder
from shopvl.models.generation import Begun, LineWriter
from shopvl.models.inputs import TextTower, WordEmbedding
from shopvl.models.prediction_heads import MatchHead
from shopvl.models.sight import Sight
from shopvl.models.text_cross import OverTowersModel, drawn_pairs
from shopvl.models.two_crop import TowerOutput


class QueryBridge(nn.Module):
    """`count` queries through a text transformer's blocks; in every `every`-th block they look at the picture."""

    def __init__(self, count: int, layers: int, every: int, settings: BlockSettings) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(count, settings.width) * 0.02)
        self.norm = settings.layer_norm()
        self.blocks = nn.ModuleList(
            Block(settings, "nothing" if number % every else "only") for number in range(layers)
        )

    def forward(
        self, shared: Encoder, words_BTD: Tensor, real_BT: Tensor, cells: tuple[Tensor, Tensor], writing: bool = False
    ) -> tuple[Tensor, Tensor]:
        """States of the queries (B, Q, D) and of the words (B, T, D), of which `real_BT` are real.

        `cells` are those of the picture (B, P, D), and which may be looked at (B, P). `writing`: queries see queries
        alone, and words the queries and the words before them.
        """
        query_BQD = self.norm(self.query).expand(len(words_BTD), -1, -1)
        Q = query_BQD.shape[1]
        real_BN = torch.cat([real_BT.new_ones(query_BQD.shape[:2]), real_BT], dim=1)
        query_BN = torch.arange(real_BN.shape[1], device=real_BN.device).expand_as(real_BN) < Q
        sees = Sight.seq2seq(real_BN, query_BN) if writing else Sight(real_BN)
        x_BND = torch.cat([query_BQD, words_BTD], dim=1)
        for block, own in zip(shared.blocks, self.blocks, strict=True):
            x_BND = block.attended(x_BND, sees)
            looked = own.cross.context(*cells) if hasattr(own, "cross") else None
            x_BND = torch.cat([own.rest(x_BND[:, :Q], looked), block.rest(x_BND[:, Q:])], dim=1)
        states_BND = shared.norm(x_BND)
        return states_BND[:, :Q], states_BND[:, Q:]


class BridgedModel(OverTowersModel):
    """Two towers whose words and pictures meet through queries, and a language model that the queries stand before.

    A picture is compared with a text by the query that fits best; in search, where it has one vector, by the mean of
    its queries. A batch of `bridged` words is told by the words' own blocks, behind the queries; any other by the
    language model, which is shown no more of a picture than a linear map of its queries.
    """

    def __init__(
        self,
        image_tower: nn.Module,
        text_tower: TextTower,
        space: tuple[int, float],
        bridge: QueryBridge,
        words: WordEmbedding,
        language: Encoder,
    ) -> None:
        super().__init__(image_tower, text_tower, *space)
        self.image_projection = nn.Linear(text_tower.width, space[0], bias=False)
        self.bridge, self.language_words, self.language = bridge, words, language
        self.before = nn.Linear(text_tower.width, text_tower.width)

    def forward(self, batch: Batch) -> Output:
        """Embeddings, and logits of drawn pairs; or what is told of words that are to be told."""
        title = batch.texts.get("title")
        if not batch.embed_only and title is not None and title.next_BT is not None:
            return Output(predictions=self._next_words(batch, title, title.next_BT))
        output = self.embedded(batch)
        if batch.embed_only or batch.gumbel_noise_2BB is None:
            return output
        title = require(title, "a title", by="a query bridge")
        title_N, image_N = drawn_pairs(output, batch)
        cells_BPD, kept_BP = self._cells(super().encode_image(batch)[1][-1])
        words_BTD = self.text_tower.embedding(title, "title")
        logit_N = self._match_logit(title.rows(title_N), words_BTD[title_N], cells_BPD[image_N], kept_BP[image_N])
        group_B = require(batch.groups, "groups", by="a query bridge").title_B
        told = Prediction(made=logit_N, true=group_B[title_N] == group_B[image_N])
        return Output(embeddings=output.embeddings, scales=output.scales, predictions={"match": told})

    def embedded(self, batch: Batch) -> Output:
        """As of two towers; a picture also as all of its queries."""
        output = super().embedded(replace(batch, pictures=None))
        if batch.pictures is None:
            return output
        query_BQD = self._queries(*self._cells(super().encode_image(batch)[1][-1]))
        pictured = {"image": self._in_space(query_BQD.mean(1)), QUERY_VECTORS: self._in_space(query_BQD)}
        return Output(embeddings={**output.embeddings, **pictured}, scales=output.scales)

    def encode_image(self, batch: Batch) -> TowerOutput:
        """The mean of the queries (B, D), and the image tower's cells."""
        cells = super().encode_image(batch)[1]
        return self._queries(*self._cells(cells[-1])).mean(1), cells

    def feature_width(self, inputs: tuple[Modality, ...]) -> int:
        """F of that choice: queries are as wide as the text tower."""
        return len(inputs) * (self.text_tower.width + self.width)

    def begin_beside(self, given: Words, cells_BPD: Tensor, kept_BP: Tensor) -> tuple[Begun, LineWriter]:
        """`begin`, where pictures are as `picture` gave them."""
        return self._begun(given, (cells_BPD, kept_BP))

    def _begun(self, title: Words, cells: tuple[Tensor, Tensor] | None) -> tuple[Begun, LineWriter]:
        head, vectors_VD = self.heads["next-word"], self.language_words.word.weight
        writer = LineWriter(self.language_words, self.language, lambda states: head.logits(states, vectors_VD))
        line_BND, real_BN, word_BN = self._line(title, cells)
        return writer.begin(line_BND, Sight.causal(real_BN), word_BN), writer

    def _queries(self, cells_BPD: Tensor, kept_BP: Tensor) -> Tensor:
        """(B, Q, D): their states over a picture, without words."""
        nothing_B0D = cells_BPD.new_zeros(len(cells_BPD), 0, self.text_tower.width)
        return self.bridge(self.text_tower.encoder, nothing_B0D, kept_BP[:, :0], (cells_BPD, kept_BP))[0]

    def _line(self, title: Words, cells: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor, Tensor]:
        """What the language model reads (B, N, D): the queries, if there is a picture, and words; which of these are
        real, and which of them words (B, N)."""
        words_BTD, real_BT = self.language_words(title, "title"), title.real_BT
        if cells is None:
            return words_BTD, real_BT, real_BT
        before_BQD = self.before(self._queries(*cells))
        Q = before_BQD.shape[1]
        line_BND = torch.cat([before_BQD, words_BTD], dim=1)
        return line_BND, F.pad(real_BT, (Q, 0), value=True), F.pad(real_BT, (Q, 0), value=False)

    def _next_words(self, batch: Batch, title: Words, true_BT: Tensor) -> dict[str, Prediction]:
        cells = None if batch.pictures is None else self._cells(super().encode_image(batch)[1][-1])
        name, vectors_VD = "next-word", self.language_words.word.weight
        if batch.bridged:
            name, vectors_VD = "bridged-word", self.text_tower.vectors.weight
            words_BTD = self.text_tower.embedding(title, "title")
            cells = require(cells, "pictures", by="a query bridge")
            states_BTD = self.bridge(self.text_tower.encoder, words_BTD, title.real_BT, cells, writing=True)[1]
        else:
            line_BND, real_BN, _ = self._line(title, cells)
            states_BTD = self.language(line_BND, Sight.causal(real_BN))[:, -title.ids_BT.shape[1] :]
        asked_BT = true_BT != IGNORED
        made_NV = self.heads[name].logits(states_BTD[asked_BT], vectors_VD)
        return {name: Prediction(made=made_NV, true=true_BT[asked_BT])}

    def _match_logit(self, title: Words, title_BTD: Tensor, cells_BPD: Tensor, kept_BP: Tensor) -> Tensor:
        """(B,), from the mean of the queries, which have seen the words."""
        words_BTD = self.text_tower.embedding(title, "title")
        shown = (cells_BPD, kept_BP)
        query_BQD, words_BTD = self.bridge(self.text_tower.encoder, words_BTD, title.real_BT, shown)
        head = self.heads["match"]
        assert isinstance(head, MatchHead)
        every_BQ = kept_BP.new_ones(query_BQD.shape[:2])
        logit_B = head.logit(query_BQD.mean(1), (words_BTD, title.real_BT), (query_BQD, every_BQ))
        return logit_B
