"""Schedule and data augmentation."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from shopvl.recipes.parts.fields import STRICT, Count, Share


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WarmupCosine:
    """AdamW; the rate climbs for `warmup_share` of the run to `peak_lr`, then falls to zero along a cosine."""

    kind: Literal["one-stage"] = "one-stage"
    peak_lr: Annotated[float, Field(gt=0)]
    warmup_share: Share = 0.05
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    batch_size: Count = 256
    chunk_size: Count | None = None  # products per forward pass; smaller than the batch = gradient cache
    average: Share = 0.0  # decay of an EMA of the weights, which is the result; 0: the last weights are
    half_size_share: Share = 0.0  # of the run, from its start, on pictures of half the sides, which is faster


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Augment:
    """How training pictures, titles and queries vary without changing a label: no colour jitter, no tight crops."""

    flip: bool = True
    crop_share: Share = 0.1  # a random window leaves out at most this share of each side
    word_dropout: Share = 0.0  # of a title's or query's words
    overlays: Share = 0.0  # of the pictures get promotions drawn on them, half of those a wrong word
    painted_out: Share = 0.5  # of these promotions, as in inference with OCR on
    logged_queries: Share = 0.5  # of the queries of products that have logged ones: made ones name rarer facts
    title_queries: Share = 0.2  # of the made queries are some words of the title
    leaf_queries: Share = 0.85  # of the others name the most special category, not one above it
