"""An encoder over picture and given words, and a decoder that looks at its states and writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from shopvl.batch import IGNORED, Batch, Output, Words, inputs_in, require
from shopvl.models.attention import Encoder
from shopvl.models.generation import Begun, LineWriter
from shopvl.models.inputs import WordEmbedding
from shopvl.models.prediction_heads import Fused, NextWordHead, PictureInput, PredictionHead
from shopvl.models.sight import Sight
from shopvl.models.single_stream import SingleStreamModel


class EncoderDecoderModel(SingleStreamModel):
    """`[CLS] given words [SEP] patches` through an encoder; a causal decoder with cross-attention writes the rest.

    Of a line of words (`Words.given_B`) the encoder reads those that are given, and the decoder those to be told, after
    a start token. With `decoder` None the encoder's own blocks write, which then have cross-attention (XGPT,
    arXiv:2003.01473). Both read one table of words. A batch with nothing to tell is read by the encoder alone.
    """

    def __init__(
        self,
        patches: PictureInput | None,
        words: WordEmbedding,
        encoder: Encoder,
        decoder: Encoder | None,
        width: int,
        *,
        start_id: int,
        heads: Mapping[str, PredictionHead],
        space: tuple[int, float] | None = None,
    ) -> None:
        super().__init__(patches, words, encoder, width, heads=heads, space=space)
        if decoder is not None:
            self.decoder = decoder
        self.start_id = start_id

    @property
    def writing(self) -> Encoder:
        """The blocks that write."""
        own = getattr(self, "decoder", self.encoder)
        assert isinstance(own, Encoder)
        return own

    def forward(self, batch: Batch) -> Output:
        """What follows the given words, where any is to be told; else as a single stream."""
        title = batch.texts.get("title")
        if title is None or title.next_BT is None:
            return super().forward(batch)
        source, target = split_line(title, self.start_id)
        words_BTD, _ = self.writing.read(
            self.words(target, "title"), Sight.causal(target.real_BT), other=self._read(batch, source)
        )
        head, told = self.heads["next-word"], replace(batch, texts={"title": target})
        seen = Fused(told, words_BTD, words_BTD[:, :0], words_BTD[:, 0], words=self.words)
        return Output(predictions=dict(head(seen)))

    def begin(self, batch: Batch) -> tuple[Begun, LineWriter]:
        """The batch read, whose titles are the given words, and how the decoder begins."""
        return self._writing(batch.texts["title"], self._read(batch, batch.texts["title"]))

    def begin_beside(self, given: Words, patches_BPD: Tensor, kept_BP: Tensor) -> tuple[Begun, LineWriter]:
        """`begin`, where pictures are as `picture` gave them."""
        real_BN, words_BTD = torch.cat([given.real_BT, kept_BP], dim=1), self.words(given, "title")
        image_BN = (torch.arange(real_BN.shape[1], device=real_BN.device) >= words_BTD.shape[1]).expand_as(real_BN)
        sight = self._sight(real_BN, image_BN, given)
        states_BND = self.encoder(torch.cat([words_BTD, patches_BPD], dim=1), sight, image_BN)
        return self._writing(given, (states_BND, real_BN))

    def _writing(self, given: Words, read: tuple[Tensor, Tensor]) -> tuple[Begun, LineWriter]:
        """The decoder at its start, after what the encoder `read`."""
        head = self.heads["next-word"]
        assert isinstance(head, NextWordHead)
        writer = LineWriter(self.words, self.writing, lambda states: head.logits(states, self.words.word.weight))
        start_B1 = torch.full((len(given.ids_BT), 1), self.start_id, device=given.ids_BT.device)
        start = Words(ids_BT=start_B1, real_BT=torch.ones_like(start_B1, dtype=torch.bool))
        line_B1D, sight = self.words(start, "title"), Sight.causal(start.real_BT)
        return writer.begin(line_B1D, sight, start.real_BT, other=read), writer

    def _read(self, batch: Batch, given: Words) -> tuple[Tensor, Tensor]:
        """The encoder's states (B, N, D) of picture and given words, and which are real (B, N)."""
        told = replace(batch, texts={"title": given})
        line = self._line(told, inputs_in(told))
        return torch.cat(self._fused(line), dim=1), line.real_BN


def split_line(line: Words, start_id: int) -> tuple[Words, Words]:
    """The given words of a line, and those to be told, after a start token in the place of the last given one.

    Of a line that says nothing of it, the first word alone is given.
    """
    ids_BT, real_BT = line.ids_BT, line.real_BT
    B, T = ids_BT.shape
    given_B = torch.ones(B, dtype=torch.long, device=ids_BT.device) if line.given_B is None else line.given_B
    place_T = torch.arange(T, device=ids_BT.device)
    most = int(given_B.max())
    source = Words(ids_BT=ids_BT[:, :most], real_BT=(real_BT & (place_T < given_B[:, None]))[:, :most])
    at_BT = place_T + given_B[:, None] - 1
    inside_BT, at_BT = at_BT < T, at_BT.clamp(max=T - 1)
    told_BT = real_BT.gather(1, at_BT) & inside_BT
    next_BT = require(line.next_BT, "words to tell", by="a decoder").gather(1, at_BT).masked_fill(~inside_BT, IGNORED)
    rest_BT, longest = ids_BT.gather(1, at_BT), int(told_BT.sum(1).max())
    rest_BT[:, 0] = start_id
    target = Words(ids_BT=rest_BT[:, :longest], real_BT=told_BT[:, :longest], next_BT=next_BT[:, :longest])
    return source, target
