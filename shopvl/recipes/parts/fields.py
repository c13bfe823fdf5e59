"""Types that parts share."""

from typing import Annotated

from pydantic import ConfigDict, Field

STRICT = ConfigDict(extra="forbid")
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Size = tuple[Count, Count]  # height, width in pixels
# in use, though not while it learns, a picture is seen twice: whole, and so much of each side around its middle; both
# looks are averaged. Twice the work for the picture
CloseUp = Annotated[float, Field(ge=0.5, lt=1)] | None
