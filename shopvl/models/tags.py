"""Tags: names of what a picture's net tells in it, as words behind its regions (OSCAR, arXiv:2004.06165)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from shopvl.batch import Prediction, TagChanges, Words, require
from shopvl.models.attention import mean_of_real
from shopvl.models.inputs import RegionInput
from shopvl.models.prediction_heads import Fused, MatchHead, PredictionHead, Site, Tags
from shopvl.recipes.parts.objective_part import ObjectivePart

PRODUCT = 1  # the region that is the product's box
LONGEST = 4  # pieces of a tag


class TaggedRegionInput(RegionInput):
    """Boxes, and the names of the `count` facts that a linear map of the product's box holds for likeliest.

    The names enter without gradient, as a detector's would. They follow from the picture alone.
    """

    names_KQ: Tensor
    real_KQ: Tensor

    def __init__(self, net: nn.Module, width: int, frozen: bool, names: Sequence[Sequence[int]], count: int) -> None:
        super().__init__(net, width, frozen)
        rows = [torch.tensor(pieces[:LONGEST], dtype=torch.long) for pieces in names]
        real = [torch.ones(len(row), dtype=torch.bool) for row in rows]
        self.register_buffer("names_KQ", pad_sequence(rows, batch_first=True), persistent=False)
        self.register_buffer("real_KQ", pad_sequence(real, batch_first=True), persistent=False)
        self.count = min(count, len(rows))
        self.tell = nn.Linear(self.features, len(rows) + 1)  # the last: nothing is known

    def tags(self, features_BPF: Tensor, changes: TagChanges | None, mask_id: int | None) -> Tags:
        """Those of each picture, with these changes."""
        with torch.no_grad():
            told_BK = self.tell(features_BPF[:, PRODUCT])[:, :-1]
        best_BC = told_BK.topk(self.count, dim=1).indices.sort(dim=1).values  # which are likelier changes all the time
        hidden_BC = torch.zeros_like(best_BC, dtype=torch.bool)
        if changes is not None and changes.of_B is not None:
            best_BC = best_BC[changes.of_B]
        if changes is not None and changes.hidden_BC is not None:
            hidden_BC = changes.hidden_BC[:, : self.count]
        true_BCQ, real_BCQ = self.names_KQ[best_BC], self.real_KQ[best_BC]
        hidden_BCQ = hidden_BC[..., None] & real_BCQ
        if mask_id is None and bool(hidden_BCQ.any()):
            require(mask_id, "[MASK]", by="tags that are hidden")
        ids_BCQ = true_BCQ if mask_id is None else true_BCQ.masked_fill(hidden_BCQ, mask_id)
        words = Words(ids_BT=ids_BCQ.flatten(1), real_BT=real_BCQ.flatten(1))
        return Tags(words, true_BCQ.flatten(1), hidden_BCQ.flatten(1))

    def places(self) -> Tensor:
        """(C * Q,): each tag begins where a text does, for they have no order."""
        return torch.arange(self.names_KQ.shape[1], device=self.names_KQ.device).repeat(self.count)


class ThreeWayMatchHead(MatchHead):
    """Whether all belongs together, the picture is another product's, or the tags are (VinVL, arXiv:2101.00529).

    What words have in common with the picture and its tags speaks against a false picture, what tags have in common
    with the regions against false tags; both as a pair's fit is measured.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.which = nn.Linear(width, 2)
        self.tag_norm, self.region_norm = (nn.BatchNorm1d(width, affine=False) for _ in range(2))
        self.tag_map, self.region_map = (nn.Linear(width, width, bias=False) for _ in range(2))
        nn.init.zeros_(self.region_map.weight)

    def forward(self, seen: Fused) -> Mapping[str, Prediction]:
        """`match-ways` (B, 3)."""
        changes = seen.batch.tags
        if changes is None or changes.changed_B is None:
            return {}
        patches, tags = seen.regions_and_tags(by="matching in three ways")
        words = (seen.words_BTD, seen.batch.texts["title"].real_BT)
        fits_B = self.logit(seen.whole_BD, words, seen.picture(by="matching in three ways"))
        tag_BD = self.tag_map(self.tag_norm(mean_of_real(*tags).float()))
        region_BD = self.region_map(self.region_norm(mean_of_real(*patches).float()))
        apart_B = (tag_BD * region_BD).float().sum(-1) / tag_BD.shape[1] ** 0.5
        which_B2 = self.which(self.norm(seen.whole_BD.float())).float()
        against_B2 = which_B2 - torch.stack([torch.zeros_like(apart_B), apart_B], dim=1)
        return {"match-ways": Prediction(made=torch.cat([fits_B[:, None], against_B2], dim=1), true=changes.changed_B)}


def build_head(name: str, site: Site, part: ObjectivePart) -> PredictionHead:
    """Matching in three ways."""
    return ThreeWayMatchHead(site.width)
