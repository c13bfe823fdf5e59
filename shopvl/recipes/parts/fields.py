"""Types that parts share."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

STRICT = ConfigDict(extra="forbid")
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
# what people can do with a design (recipes/capabilities.py)
Capability = Literal["embed", "zero-shot", "tag", "match", "write", "locate", "verify", "picture"]
Eps = Annotated[float, Field(gt=0, lt=1)] | None
Activation = Literal["gelu", "gelu-tanh", "quick-gelu"]  # gelu-tanh: GPT's, quick-gelu: CLIP's
Size = tuple[Count, Count]  # height, width in pixels
# center-crop test-time augmentation: in evaluation mode the outputs for the whole picture and for a center crop of this
# share of each side are averaged, at twice the cost of the image tower
CloseUp = Annotated[float, Field(ge=0.5, lt=1)] | None
