"""Two towers that meet in one space (CLIP, arXiv:2103.00020), with any number of kinds of text."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shopvl.batch import Batch, Modality, Output, Words, inputs_name
from shopvl.errors import DesignError

MAX_SCALE = 100.0  # of cosines, as in CLIP
PAIRS = ("title-image", "query-image", "query-title")  # each learns a scale of its own


class DualEncoder(nn.Module):
    """Image tower and text tower, each with a linear projection to a shared space of `width`."""

    def __init__(self, image_tower: nn.Module, text_tower: nn.Module, width: int, temperature: float) -> None:
        super().__init__()
        self.image_tower = image_tower
        self.text_tower = text_tower
        self.image_projection = nn.Linear(image_tower.width, width, bias=False)
        self.text_projection = nn.Linear(text_tower.width, width, bias=False)
        self.log_scale = nn.Parameter(torch.full((len(PAIRS),), math.log(1 / temperature)))
        self.width = width

    def forward(self, batch: Batch) -> Output:
        """Unit-length embeddings (B, width) of whatever the batch holds, by name: image, title, query."""
        embeddings = {name: self.embed_text(words, name) for name, words in batch.texts.items()}
        if batch.pixels_B3YX is not None:
            embeddings["image"] = self.embed_image(batch)
        if batch.overlaid is not None:
            embeddings["overlaid"] = self.embed_image(batch.overlaid)
        return Output(embeddings=embeddings, scales=self.scales())

    def scales(self) -> dict[str, Tensor]:
        """What the cosines of each pair are multiplied by."""
        return dict(zip(PAIRS, self.log_scale.exp().clamp(max=MAX_SCALE).unbind(), strict=True))

    def embed_image(self, batch: Batch) -> Tensor:
        """The batch's pictures as (B, width), unit length."""
        return self._unit(self.image_projection(self.look(batch)[0]))

    def look(self, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """The image tower's one vector per picture (B, W), and its cells (B, P, C) at one or several scales."""
        if batch.kept_BP is None:
            return self.image_tower.look(batch.pixels_B3YX)
        return self.image_tower.look(batch.pixels_B3YX, batch.kept_BP)

    def embed_text(self, words: Words, segment: str) -> Tensor:
        """(B, width), unit length."""
        return self._unit(self.text_projection(self.text_tower(words, segment)))

    @staticmethod
    def _unit(x_BD: Tensor) -> Tensor:
        """Unit length, in float32 whatever precision the tower ran in."""
        return F.normalize(x_BD.float(), dim=-1)

    def features(self, batch: Batch, choices: Sequence[tuple[Modality, ...]]) -> dict[str, Tensor]:
        """What heads read, by choice of inputs: per input the tower's vector and its embedding, side by side (B, F)."""
        wanted = {name for inputs in choices for name in inputs}
        parts = {}
        if "image" in wanted:
            raw = self.look(batch)[0]
            parts["image"] = torch.cat([raw, self._unit(self.image_projection(raw))], dim=-1)
        if "title" in wanted:
            raw = self.text_tower(batch.texts["title"], "title")
            parts["title"] = torch.cat([raw, self._unit(self.text_projection(raw))], dim=-1)
        return {inputs_name(inputs): torch.cat([parts[name] for name in inputs], dim=-1) for inputs in choices}

    def feature_width(self, inputs: tuple[Modality, ...]) -> int:
        """F of that choice."""
        raw = {"image": self.image_tower.width, "title": self.text_tower.width}
        return sum(raw[name] + self.width for name in inputs)


class NoTowers:
    """Mixed into models whose modalities meet at once: they have no embedding of a picture or a text alone."""

    def embed_image(self, batch: Batch) -> Tensor:
        """Always a DesignError that says which recipes can."""
        raise DesignError(
            "this model reads picture and words together and has no embeddings to search with; "
            "use a model of a dual-enc recipe such as tri-clip"
        )

    def embed_text(self, words: Words, segment: str) -> Tensor:
        """Always a DesignError, as for `embed_image`."""
        return self.embed_image(Batch(texts={"title": words}))
