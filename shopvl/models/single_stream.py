"""Words and patches on one line, one transformer over both (ViLT, arXiv:2102.03334)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from shopvl.batch import IGNORED, Batch, Modality, Output, Words, inputs_name
from shopvl.errors import DesignError
from shopvl.models.attention import Block, Encoder, encode_real, mean_of_real
from shopvl.models.dual_encoder import NoTowers
from shopvl.models.inputs import PatchEmbedding, WordEmbedding


class SingleStream(NoTowers, nn.Module):
    """`[CLS] words [SEP] patches` through one encoder, with heads for hidden words and for matching.

    An input that is left out is simply not on the line, so one model serves picture, title, or both.
    """

    def __init__(
        self, patches: PatchEmbedding, words: WordEmbedding, encoder: Encoder, width: int, guesses: bool = False
    ) -> None:
        super().__init__()
        self.patches = patches
        self.words = words
        self.encoder = encoder
        self.width = width
        self.image_type = nn.Parameter(torch.randn(width) * 0.02)
        self.nothing = nn.Parameter(torch.randn(width) * 0.02)  # stands for [CLS] where there is no title
        self.match = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1))
        self.word_transform = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
        self.word_bias = nn.Parameter(torch.zeros(words.word.num_embeddings))
        if guesses:  # the pixels of hidden patches
            self.hidden = nn.Parameter(torch.randn(width) * 0.02)
            self.guess = nn.Linear(width, patches.patch.weight[0].numel())

    def forward(self, batch: Batch) -> Output:
        """States of both modalities after fusion, word logits (tied to the word embedding) and the match logit."""
        words_BTD, patches_BPD = self._fused(batch, ("image", "title"))
        return Output(
            words_BTD=words_BTD.float(),
            patches_BPD=patches_BPD.float(),
            patch_real_BP=_kept(batch, patches_BPD),
            pixels_NC=None if batch.hidden_BP is None else self.guess(patches_BPD[batch.hidden_BP]).float(),
            asked_logits_NV=self._asked_logits(words_BTD, batch.texts["title"]),
            match_logit_B=self.match(words_BTD[:, 0]).squeeze(-1).float(),
        )

    def _asked_logits(self, words_BTD: Tensor, words: Words) -> Tensor | None:
        """(N, V) for the N positions with a target, in reading order; the output map is the word embedding."""
        if words.targets_BT is None:
            return None
        asked_ND = words_BTD[words.targets_BT != IGNORED]
        return (self.word_transform(asked_ND) @ self.words.word.weight.T).float() + self.word_bias

    def features(self, batch: Batch, choices: Sequence[tuple[Modality, ...]]) -> dict[str, Tensor]:
        """What heads read, by choice of inputs: first state, mean word, mean patch (B, 3D); zeros for the absent."""
        return {inputs_name(inputs): self._features(batch, inputs) for inputs in choices}

    def feature_width(self, inputs: tuple[Modality, ...]) -> int:
        """F of that choice."""
        return 3 * self.width

    def _features(self, batch: Batch, inputs: tuple[Modality, ...]) -> Tensor:
        words_BTD, patches_BPD = self._fused(batch, inputs)
        first_BD = words_BTD[:, 0]
        nothing_BD = torch.zeros_like(first_BD)
        mean_word_BD = mean_of_real(words_BTD, batch.texts["title"].real_BT) if "title" in inputs else nothing_BD
        mean_patch_BD = mean_of_real(patches_BPD, _kept(batch, patches_BPD)) if "image" in inputs else nothing_BD
        return torch.cat([first_BD, mean_word_BD, mean_patch_BD], dim=-1)

    def _fused(self, batch: Batch, inputs: tuple[Modality, ...]) -> tuple[Tensor, Tensor]:
        """Word states (B, T, D) and patch states (B, P, D); T = 1 without a title, P = 0 without a picture."""
        B = len(batch)
        if "title" in inputs:
            words_BTD = self.words(batch.texts["title"], "title")
            real_BT = batch.texts["title"].real_BT
        else:
            words_BTD = self.nothing.expand(B, 1, -1)
            real_BT = words_BTD.new_ones((B, 1), dtype=torch.bool)
        patches_BPD = self._patches(batch) if "image" in inputs else words_BTD[:, :0]
        T, P = words_BTD.shape[1], patches_BPD.shape[1]
        line = torch.cat([words_BTD, patches_BPD], dim=1)
        real = torch.cat([real_BT, _kept(batch, patches_BPD)], dim=1)
        encoded = self.encoder(line, real) if batch.kept_BP is None else encode_real(self.encoder, line, real)
        return encoded.split([T, P], dim=1)

    def _patches(self, batch: Batch) -> Tensor:
        """(B, P, D); a patch to be guessed shows only where it is."""
        patches_BPD = self.patches(batch.pixels_B3YX)
        if batch.hidden_BP is not None:
            blank_PD = self.hidden + self.patches.position
            patches_BPD = torch.where(batch.hidden_BP[..., None], blank_PD, patches_BPD)
        return patches_BPD + self.image_type


def _kept(batch: Batch, patches_BPD: Tensor) -> Tensor:
    """(B, P) bool: the patches on the line."""
    if batch.kept_BP is not None and patches_BPD.shape[1]:
        return batch.kept_BP
    return patches_BPD.new_ones(patches_BPD.shape[:2], dtype=torch.bool)


def copy_vit(model: SingleStream, vit: nn.Module) -> None:
    """Copy a timm ViT's weights. Raises DesignError where width, depth or patches differ."""
    blocks = list(model.encoder.blocks)
    if len(vit.blocks) != len(blocks) or vit.patch_embed.proj.weight.shape != model.patches.patch.weight.shape:
        raise DesignError(
            f"a ViT of {len(vit.blocks)} blocks with a patch map of {tuple(vit.patch_embed.proj.weight.shape)} "
            f"does not fit this encoder of {len(blocks)} with {tuple(model.patches.patch.weight.shape)}; "
            "choose the same size"
        )
    positions = vit.pos_embed[0, vit.num_prefix_tokens :]
    if positions.shape != model.patches.position.shape:
        raise DesignError(
            f"a ViT with {len(positions)} positions does not fit {len(model.patches.position)} patches; "
            "choose the picture size it was trained at"
        )
    with torch.no_grad():
        model.patches.patch.load_state_dict(vit.patch_embed.proj.state_dict())
        model.patches.position.copy_(positions)
        model.encoder.norm.load_state_dict(vit.norm.state_dict())
        for ours, theirs in zip(blocks, vit.blocks, strict=True):
            assert isinstance(ours, Block)
            ours.norm_attention.load_state_dict(theirs.norm1.state_dict())
            ours.norm_mlp.load_state_dict(theirs.norm2.state_dict())
            ours.attention.qkv.load_state_dict(theirs.attn.qkv.state_dict())
            ours.attention.out.load_state_dict(theirs.attn.proj.state_dict())
            ours.mlp[0].load_state_dict(theirs.mlp.fc1.state_dict())
            ours.mlp[3].load_state_dict(theirs.mlp.fc2.state_dict())
