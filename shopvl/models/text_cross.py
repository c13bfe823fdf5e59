"""Align before fuse (ALBEF): two towers in one space, then text layers with cross-attention to the picture."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from shopvl.batch import IGNORED, Batch, Output, Prediction, Words, require
from shopvl.models.attention import BlockSettings, Encoder
from shopvl.models.dual_encoder import DualEncoderModel
from shopvl.models.inputs import TextTower, WordBagTower
from shopvl.models.prediction_heads import MatchHead, WordHead
from shopvl.models.sight import Sight


class TextCrossModel(DualEncoderModel):
    """A dual encoder, then text layers with cross-attention to the picture's cells (ALBEF, arXiv:2107.07651).

    Heads for masked words and for matching. The towers alone embed, for search; the fusion layers score pairs.
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
        text_width = text_tower.width
        self.cells = nn.Linear(image_tower.token_widths[-1], text_width)
        self.fusion = Encoder(layers, settings, context=True)
        self.heads = nn.ModuleDict(
            {"match": MatchHead(text_width), "words": WordHead(text_width, text_tower.vectors.num_embeddings)}
        )

    def forward(self, batch: Batch) -> Output:
        """Embeddings of whatever the batch holds; logits of masked words and of drawn pairs, if it has them."""
        pooled_BW, tokens = self.encode_image(batch)
        embeddings = {"image": self._unit(self.image_projection(pooled_BW))}
        for name, words in batch.texts.items():
            text_BW, states_BTD = self.text_tower.read(words, name)
            embeddings[name] = self._unit(self.text_projection(text_BW))
            if name == "title":
                title_BTD = states_BTD
        output = Output(embeddings=embeddings, scales=self.scales())
        cells_BPD, title = self.cells(tokens[-1]), batch.texts["title"]
        kept_BP = torch.ones(cells_BPD.shape[:2], dtype=torch.bool, device=cells_BPD.device)
        predictions = {}
        if title.targets_BT is not None:
            fused_BTD, asked_BT = self._fused(title_BTD, title.real_BT, cells_BPD, kept_BP), title.targets_BT != IGNORED
            logits_NV = self.heads["words"].logits(fused_BTD[asked_BT], self.text_tower.vectors.weight)
            predictions["words"] = Prediction(made=logits_NV, true=title.targets_BT[asked_BT])
        if batch.gumbel_noise_2BB is not None:
            title_N, image_N = drawn_pairs(output, batch)
            images = cells_BPD[image_N], kept_BP[image_N]
            logit_N = self._match_logit(title_BTD[title_N], title.real_BT[title_N], *images)
            group_B = require(batch.groups, "groups", by="text-cross").title_B
            predictions["match"] = Prediction(made=logit_N, true=group_B[title_N] == group_B[image_N])
        return replace(output, predictions=predictions)

    def picture(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The pictures' cells (B, P, D), which of them may be attended to (B, P): all, and their embeddings (B, W)."""
        pooled_BW, tokens = self.encode_image(batch)
        cells_BPD = self.cells(tokens[-1])
        kept_BP = torch.ones(cells_BPD.shape[:2], dtype=torch.bool, device=cells_BPD.device)
        return cells_BPD, kept_BP, self._unit(self.image_projection(pooled_BW))

    def match_score(self, title: Words, cells_BPD: Tensor, kept_BP: Tensor, image_BW: Tensor) -> Tensor:
        """How well (B,) titles and pictures fit, the latter as `picture` gave them: match logit + scaled cosine.

        False pairs were drawn by the softmax q of the scaled cosines. What then tells true from false best is log(p/q)
        (noise-contrastive estimation, Gutmann and Hyvarinen 2010): the logit learns what the towers do not know, and
        alone ranks worse than they do. With log q added again, up to a constant, pairs are ranked by p.
        """
        text_BW, title_BTD = self.text_tower.read(title, "title")
        title_BW = self._unit(self.text_projection(text_BW))
        cosine_B = self.scales()["title-image"] * (title_BW * image_BW).sum(-1)
        return self._match_logit(title_BTD, title.real_BT, cells_BPD, kept_BP) + cosine_B

    def _match_logit(self, title_BTD: Tensor, real_BT: Tensor, cells_BPD: Tensor, kept_BP: Tensor) -> Tensor:
        fused_BTD = self._fused(title_BTD, real_BT, cells_BPD, kept_BP)
        head = self.heads["match"]
        assert isinstance(head, MatchHead)
        logit_B = head.logit(fused_BTD[:, 0], (fused_BTD, real_BT), (cells_BPD, kept_BP))
        return logit_B

    def _fused(self, title_BTD: Tensor, real_BT: Tensor, cells_BPD: Tensor, kept_BP: Tensor) -> Tensor:
        """The words' states (B, T, D) after cross-attention to the cells."""
        return self.fusion(title_BTD, Sight(real_BT), other=(cells_BPD, kept_BP))


def drawn_pairs(output: Output, batch: Batch) -> tuple[Tensor, Tensor]:
    """Places (3B,) of titles and of pictures: the true pairs, a false picture per title, a false title per picture.

    A false one is drawn from the softmax of its similarities; products of the same title are never drawn while there
    are others.
    """
    group_B = require(batch.groups, "groups", by="text-cross").title_B
    noise_2BB = require(batch.gumbel_noise_2BB, "gumbel noise", by="text-cross")
    with torch.no_grad():
        logits_BB = output.scales["title-image"] * output.embeddings["title"] @ output.embeddings["image"].T
        same_BB = group_B[:, None] == group_B
        both_2BB = torch.stack([logits_BB, logits_BB.T]).masked_fill(same_BB, -torch.inf)
        picture_B, title_B = (both_2BB + noise_2BB).argmax(-1)
    own_B = torch.arange(len(picture_B), device=picture_B.device)
    return torch.cat([own_B, own_B, title_B]), torch.cat([own_B, picture_B, own_B])
