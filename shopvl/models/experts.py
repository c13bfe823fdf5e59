"""Blocks whose network is that of each position's modality, while all share attention (VLMo, arXiv:2111.02358)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from shopvl.models.attention import Block, BlockSettings, Encoder, two_layers
from shopvl.models.sight import Context


class ExpertBlock(Block):
    """A network, and its norm, for words and another for patches; a `joint` block has a third for lines of both.

    Its own `mlp` is that of words. A line of one modality goes through that one's network, also in a joint block.
    """

    def __init__(self, settings: BlockSettings, joint: bool) -> None:
        super().__init__(settings)
        self.norm_image, self.image_mlp = settings.layer_norm(), self._network(settings)
        self.joint = joint
        if joint:
            self.norm_joint, self.joint_mlp = settings.layer_norm(), self._network(settings)

    @staticmethod
    def _network(settings: BlockSettings) -> nn.Sequential:
        return two_layers(settings.width, settings.dropout, settings.activation, sub_norm=settings.sub_norm)

    def rest(self, x: Tensor, context: Context | None = None, image: Tensor | None = None) -> Tensor:
        """The second half; `image` (B, N) or (M,) says which positions are patches, None: none is."""
        if image is None or not bool(image.any()):
            return super().rest(x, context)
        if bool(image.all()):
            return self._through(x, self.norm_image, self.image_mlp)
        if self.joint:
            return self._through(x, self.norm_joint, self.joint_mlp)
        changed = torch.empty_like(x)
        changed[image] = self._through(x[image], self.norm_image, self.image_mlp)
        changed[~image] = super().rest(x[~image], context)
        return changed

    def _through(self, x: Tensor, norm: nn.LayerNorm, network: nn.Sequential) -> Tensor:
        return self._sum(x, network(self._given(x, norm)), norm)


class ExpertEncoder(Encoder):
    """Blocks of experts, the last `joint_layers` of which are joint."""

    def __init__(self, layers: int, settings: BlockSettings, joint_layers: int) -> None:
        super().__init__(0, settings)
        self.blocks = nn.ModuleList(ExpertBlock(settings, number >= layers - joint_layers) for number in range(layers))
