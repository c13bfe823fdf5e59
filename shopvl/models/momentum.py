"""Teachers: a momentum encoder (EMA of the model, with a queue of embeddings), and an ensemble of trained models."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from shopvl.batch import Batch, TeacherOutputs, require
from shopvl.models.concat_towers import at_size
from shopvl.models.dual_encoder import DualEncoderModel, SharedSpaceModel

LISTENED = ("words",)  # predictions that a student's losses compare with the teacher's


class MomentumEncoder(nn.Module):
    """The moving average of a model with a shared space, and a queue of its embeddings of these `names`, with the
    numbers of their titles (arXiv:1911.05722, arXiv:2107.07651).

    `teach` changes nothing but `last`, which the next `step` puts into the queue. Call `step` after the optimizer's.
    """

    def __init__(
        self,
        model: SharedSpaceModel,
        decay: float,
        queue_size: int,
        soft: float,
        ramp_steps: int,
        names: Sequence[str] = ("title", "image"),
    ) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.decay, self.soft, self.ramp_steps = decay, soft, ramp_steps
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))
        self.register_buffer("group_M", torch.zeros(queue_size, dtype=torch.int64))
        self.names = tuple(names)
        for name in self.names:
            self.register_buffer(f"{name}_MD", torch.zeros(queue_size, model.image_projection.out_features))
        self.last: tuple[dict[str, Tensor], Tensor] | None = None
        self.eval()

    def train(self, mode: bool = True) -> MomentumEncoder:
        """Stays in evaluation mode: no dropout, no batch statistics."""
        return super().train(False)

    @torch.no_grad()
    def teach(self, batch: Batch) -> TeacherOutputs:
        """Its embeddings of the batch, its logits of masked words if there are some, and the queue.

        A model that fuses words and patches has embeddings only of a batch that it reads as `embed_only`; what it makes
        of hidden words is not remembered.
        """
        output = self.model(replace(batch, gumbel_noise_2BB=None))  # it judges no pairs
        group_B = require(batch.groups, "groups", by="the momentum teacher").title_B
        embeddings = {name: output.embeddings[name] for name in self.names if name in output.embeddings}
        count = int(self.filled)
        if len(embeddings) == len(self.names) and batch.texts["title"].targets_BT is None:
            self.last = embeddings, group_B
        return TeacherOutputs(
            embeddings=embeddings,
            queue={name: self._queue(name)[:count].clone() for name in self.names},
            title_group_M=self.group_M[:count].clone(),
            share=self.soft * min(1.0, int(self.steps) / self.ramp_steps),
            made={name: one.made for name, one in output.predictions.items() if name in LISTENED},
        )

    def shown(self, batch: Batch) -> Batch:
        """The batch with what the teacher makes of it."""
        return replace(batch, teacher=self.teach(batch))

    @torch.no_grad()
    def step(self, model: nn.Module) -> None:
        """EMA update towards the model; the last batch replaces the oldest products of the queue."""
        ema_update(self.model, model, self.decay)
        if self.last is not None:
            embeddings, group_B = self.last
            self._enqueue([(self.group_M, group_B), *((self._queue(name), embeddings[name]) for name in self.names)])
            self.filled.copy_((self.filled + len(group_B)).clamp(max=len(self.group_M)))
            self.last = None
        self.steps += 1

    @staticmethod
    def _enqueue(pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
        """The newest come first; the oldest fall off the end."""
        for queue, new in pairs:
            queue.copy_(torch.cat([new.to(queue.dtype), queue])[: len(queue)])

    def _queue(self, name: str) -> Tensor:
        return self.get_buffer(f"{name}_MD")


class Ensemble(nn.Module):
    """Frozen models as one: concatenated unit embeddings, whose cosines are the mean of the models' cosines.

    Each gets pictures at the size it reads (height, width), which need not be the batch's.
    """

    def __init__(self, models: Sequence[tuple[DualEncoderModel, tuple[int, int]]]) -> None:
        super().__init__()
        self.models = nn.ModuleList(model for model, _ in models).requires_grad_(False)
        self.sizes_px = [size_px for _, size_px in models]
        self.eval()

    @torch.no_grad()
    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Embeddings of the batch's pictures and texts (B, D of all together), as the models make them in use."""
        pictures = require(batch.pictures, "pictures", by="the teachers of distil")
        pixels_B3YX = pictures.pixels_B3YX
        embeddings = [
            model.to(pixels_B3YX.device)
            .embedded(replace(batch, pictures=replace(pictures, pixels_B3YX=at_size(pixels_B3YX, size_px))))
            .embeddings
            for model, size_px in zip(self.models, self.sizes_px, strict=True)
        ]
        return {
            name: torch.cat([vectors[name] for vectors in embeddings], dim=-1) / len(embeddings) ** 0.5
            for name in embeddings[0]
        }


@torch.no_grad()
def ema_update(average: nn.Module, model: nn.Module, decay: float) -> None:
    """average = decay * average + (1 - decay) * model, buffers such as batch statistics included."""
    source = model.state_dict()
    for name, value in average.state_dict().items():
        if value.is_floating_point():
            value.lerp_(source[name], 1 - decay)
        else:
            value.copy_(source[name])
