"""Align before fuse (ALBEF): two towers in one space, then text layers with cross-attention to the picture.

Its relatives write: CoCa's upper half of a text decoder, and BLIP's one text transformer in three modes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor, nn

from shopvl.batch import IGNORED, Batch, Output, Prediction, Words, require
from shopvl.models.attention import BlockSettings, CrossAttention, Encoder
from shopvl.models.dual_encoder import DualEncoderModel, drawn_pairs
from shopvl.models.generation import Begun, Chained, LineReader, LineWriter, WritingMode
from shopvl.models.inputs import TextTower, WordBagTower
from shopvl.models.prediction_heads import MatchHead, NextWordHead, PredictionHead, WordHead
from shopvl.models.sight import Sight
from shopvl.models.two_crop import TowerOutput


class OverTowersModel(DualEncoderModel):
    """A dual encoder whose words then look at the picture's cells.

    `heads` are among `match`, `words` (masked ones) and `next-word`. The towers alone embed, for search.
    """

    def __init__(
        self, image_tower: nn.Module, text_tower: TextTower | WordBagTower, width: int, temperature: float
    ) -> None:
        super().__init__(image_tower, text_tower, width, temperature)
        self.cells = nn.Linear(image_tower.token_widths[-1], text_tower.width)

    def add_heads(self, names: Iterable[str]) -> None:
        """Heads of these names."""
        width, vocabulary = self.text_tower.width, self.text_tower.vectors.num_embeddings
        made: dict[str, PredictionHead] = {}
        for name in names:
            match name:
                case "match":
                    made[name] = MatchHead(width)
                case "words":
                    made[name] = WordHead(width, vocabulary)
                case "next-word" | "bridged-word":
                    made[name] = NextWordHead()
                case _:
                    raise AssertionError(f"problems() lets no {name} through over two towers")
        self.heads = nn.ModuleDict(made)

    def forward(self, batch: Batch) -> Output:
        """Embeddings of whatever the batch holds; logits of words to tell and of drawn pairs, if it has them.

        Of an `embed_only` batch, embeddings alone.
        """
        if batch.embed_only:
            return self.embedded(batch)
        pooled_BW, tokens = self.encode_image(batch)
        embeddings = {"image": self._unit(self.image_projection(pooled_BW)), **self.embed_further(batch)}
        for name, words in batch.texts.items():
            text_BW, states_BTD = self.text_tower.read(words, name)
            embeddings[name] = self._unit(self.text_projection(text_BW))
            if name == "title":
                title_BTD = states_BTD
        output = Output(embeddings=embeddings, scales=self.scales())
        title, picture = batch.texts["title"], self._cells(tokens[-1])
        predictions = {}
        if title.targets_BT is not None:
            fused_BTD = self._fused(title, title_BTD, *picture)
            predictions["words"] = self._told("words", fused_BTD, title.targets_BT)
        if title.next_BT is not None:
            written_BTD = self._written(title, title_BTD, *picture)
            predictions["next-word"] = self._told("next-word", written_BTD, title.next_BT)
        if batch.gumbel_noise_2BB is not None:
            title_N, image_N = drawn_pairs(output, batch)
            cells_NPD, kept_NP = (part[image_N] for part in picture)
            logit_N = self._match_logit(title.rows(title_N), title_BTD[title_N], cells_NPD, kept_NP)
            group_B = require(batch.groups, "groups", by="text-cross").title_B
            predictions["match"] = Prediction(made=logit_N, true=group_B[title_N] == group_B[image_N])
        return replace(output, predictions=predictions)

    def begin(self, batch: Batch) -> tuple[Begun, LineWriter]:
        """Pictures, if there are any, and what is written so far (titles without an end) read, and how they go on."""
        title = batch.texts["title"]
        cells = None if batch.pictures is None else self._cells(self.encode_image(batch)[1][-1])
        return self._begun(title, cells)

    def begin_beside(self, given: Words, cells_BPD: Tensor, kept_BP: Tensor) -> tuple[Begun, LineWriter]:
        """`begin`, where pictures are as `picture` gave them."""
        return self._begun(given, (cells_BPD, kept_BP))

    def _begun(self, title: Words, cells: tuple[Tensor, Tensor] | None) -> tuple[Begun, LineWriter]:
        words, reader = self._writer()
        vectors_VD, head = self.text_tower.vectors.weight, self.heads["next-word"]
        writer = LineWriter(words, reader, lambda states: head.logits(states, vectors_VD))
        line_BTD, sight = words(title, "title"), Sight.causal(title.real_BT)
        other = cells or (line_BTD[:, :0], title.real_BT[:, :0])
        return writer.begin(line_BTD, sight, title.real_BT, other=other), writer

    def _cells(self, tokens_BPW: Tensor) -> tuple[Tensor, Tensor]:
        """The picture's cells (B, P, D) as words look at them, and which of them may be looked at (B, P): all."""
        cells_BPD = self.cells(tokens_BPW)
        return cells_BPD, torch.ones(cells_BPD.shape[:2], dtype=torch.bool, device=cells_BPD.device)

    def _told(self, head: str, states_BTD: Tensor, true_BT: Tensor) -> Prediction:
        asked_BT = true_BT != IGNORED
        made_NV = self.heads[head].logits(states_BTD[asked_BT], self.text_tower.vectors.weight)
        return Prediction(made=made_NV, true=true_BT[asked_BT])

    def picture(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The pictures' cells (B, P, D), which of them may be attended to (B, P): all, and their embeddings (B, W)."""
        pooled_BW, tokens = self.encode_image(batch)
        return *self._cells(tokens[-1]), self._unit(self.image_projection(pooled_BW))

    def match_score(self, title: Words, cells_BPD: Tensor, kept_BP: Tensor, image_BW: Tensor) -> Tensor:
        """How well (B,) titles and pictures fit, the latter as `picture` gave them: match logit + scaled cosine.

        False pairs were drawn by the softmax q of the scaled cosines. What then tells true from false best is log(p/q)
        (noise-contrastive estimation, Gutmann and Hyvarinen 2010): the logit learns what the towers do not know, and
        alone ranks worse than they do. With log q added again, up to a constant, pairs are ranked by p.
        """
        text_BW, title_BTD = self.text_tower.read(title, "title")
        title_BW = self._unit(self.text_projection(text_BW))
        cosine_B = self.scales()["title-image"] * (title_BW * image_BW).sum(-1)
        return self._match_logit(title, title_BTD, cells_BPD, kept_BP) + cosine_B

    def _match_logit(self, title: Words, title_BTD: Tensor, cells_BPD: Tensor, kept_BP: Tensor) -> Tensor:
        fused_BTD = self._fused(title, title_BTD, cells_BPD, kept_BP)
        head = self.heads["match"]
        assert isinstance(head, MatchHead)
        logit_B = head.logit(fused_BTD[:, 0], (fused_BTD, title.real_BT), (cells_BPD, kept_BP))
        return logit_B

    def _fused(self, title: Words, title_BTD: Tensor, cells_BPD: Tensor, kept_BP: Tensor) -> Tensor:
        """The words' states (B, T, D), out of the text tower, after they have looked at the cells."""
        raise NotImplementedError

    def _written(self, title: Words, title_BTD: Tensor, cells_BPD: Tensor, kept_BP: Tensor) -> Tensor:
        """The same while writing: a word has seen those before it."""
        raise NotImplementedError

    def _writer(self) -> tuple[nn.Module, LineReader]:
        """What embeds words, and what reads them while writing."""
        raise NotImplementedError


class TextCrossModel(OverTowersModel):
    """Text layers with cross-attention over the text tower (ALBEF, arXiv:2107.07651).

    Heads for masked words and for matching.
    """

    def __init__(
        self,
        image_tower: nn.Module,
        text_tower: TextTower | WordBagTower,
        width: int,
        temperature: float,
        layers: int,
        settings: BlockSettings,
    ) -> None:
        super().__init__(image_tower, text_tower, width, temperature)
        self.fusion = Encoder(layers, settings, context=True)
        self.add_heads(("match", "words"))

    def _fused(self, title: Words, title_BTD: Tensor, cells_BPD: Tensor, kept_BP: Tensor) -> Tensor:
        return self.fusion(title_BTD, Sight(title.real_BT), other=(cells_BPD, kept_BP))


class AttentionPool(nn.Module):
    """Learned queries gather a set of vectors by attention (arXiv:1810.00825): (B, P, W) -> (B, queries, W)."""

    def __init__(self, queries: int, width: int, heads: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(queries, width) * 0.02)
        self.norm_query, self.norm_tokens, self.norm = (nn.LayerNorm(width) for _ in range(3))
        self.cross = CrossAttention(width, heads)

    def forward(self, tokens_BPW: Tensor) -> Tensor:
        """All tokens are looked at."""
        B, P, _ = tokens_BPW.shape
        all_BP = torch.ones(B, P, dtype=torch.bool, device=tokens_BPW.device)
        context = self.cross.context(self.norm_tokens(tokens_BPW), all_BP)
        return self.norm(self.cross(self.norm_query(self.query).expand(B, -1, -1), context))


class SplitDecoderModel(OverTowersModel):
    """A causal text tower, and over it layers with cross-attention that write (CoCa, arXiv:2205.01917).

    The text's last state embeds it. The picture is pooled by attention: by one query for the shared space, by
    `queries` more for what is written.
    """

    def __init__(
        self,
        image_tower: nn.Module,
        text_tower: TextTower,
        width: int,
        temperature: float,
        queries: int,
        layers: int,
        settings: BlockSettings,
    ) -> None:
        super().__init__(image_tower, text_tower, width, temperature)
        self.pool = AttentionPool(1 + queries, image_tower.width, settings.heads)
        self.fusion = Encoder(layers, settings, context=True)

    def encode_image(self, batch: Batch) -> TowerOutput:
        """What the first query gathers (B, W), and what the others do (B, queries, W)."""
        pooled_BQW = self.pool(super().encode_image(batch)[1][-1])
        return pooled_BQW[:, 0], [pooled_BQW[:, 1:]]

    def _written(self, title: Words, title_BTD: Tensor, cells_BPD: Tensor, kept_BP: Tensor) -> Tensor:
        return self.fusion(title_BTD, Sight.causal(title.real_BT), other=(cells_BPD, kept_BP))

    def _writer(self) -> tuple[nn.Module, LineReader]:
        return self.text_tower.embedding, Chained(self.text_tower.encoder, self.fusion)


class TextModesModel(OverTowersModel):
    """The text tower's own blocks, also with cross-attention, and with attention of their own to write (BLIP,
    arXiv:2201.12086)."""

    def _fused(self, title: Words, title_BTD: Tensor, cells_BPD: Tensor, kept_BP: Tensor) -> Tensor:
        words_BTD = self.text_tower.embedding(title, "title")
        return self.text_tower.encoder(words_BTD, Sight(title.real_BT), other=(cells_BPD, kept_BP))

    def _written(self, title: Words, title_BTD: Tensor, cells_BPD: Tensor, kept_BP: Tensor) -> Tensor:
        words, reader = self._writer()
        return reader.read(words(title, "title"), Sight.causal(title.real_BT), other=(cells_BPD, kept_BP))[0]

    def _writer(self) -> tuple[nn.Module, LineReader]:
        return self.text_tower.embedding, WritingMode(self.text_tower.encoder)
