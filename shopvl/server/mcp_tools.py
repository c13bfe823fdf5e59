"""Tools of an agent over the Model Context Protocol: tag a product, ask about one, search an index."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from shopvl import __version__
from shopvl.catalog.downloading import fetch
from shopvl.catalog.fetching import is_url
from shopvl.catalog.images import image_bytes
from shopvl.catalog.vocabulary import DEFAULT_PRECISION
from shopvl.errors import ImageError, ShopvlError
from shopvl.inference.ask import sentence
from shopvl.loaded import LoadedModel
from shopvl.search.filters import conditions
from shopvl.search.search import SearchIndex
from shopvl.server.schema import FoundHit, SaidReply, SaidTag

ABOUT = (
    "What a shop's products are, from their pictures and titles. Every answer has a probability and a decision: accept "
    "(as precise as was asked for), review (a person should look), or unknown."
)
Title = Annotated[str | None, Field(description="The product's title.")]
Picture = Annotated[
    str | None, Field(description="A picture: a file below the server's folder, or an http(s) address.")
]
Precision = Annotated[float, Field(ge=0.5, le=1.0, description="Of accepted answers.")]


def tool_server(model: LoadedModel, folder: Path, index: SearchIndex | None = None) -> MCPServer[Any]:
    """The tools over one model; pictures are files below `folder`, or public addresses. Search needs an index."""
    server = MCPServer[Any]("shopvl", version=__version__, instructions=ABOUT, log_level="WARNING")

    @server.tool()
    def tag_product(
        title: Title = None, picture: Picture = None, precision: Precision = DEFAULT_PRECISION
    ) -> list[SaidTag]:
        """The category and every property of a product, from its picture, its title, or both."""
        try:
            tags = model.tag(_picture(picture, folder), title, precision=precision)
        except ShopvlError as fault:
            raise ToolError(str(fault)) from fault
        return [SaidTag.model_validate(tag.as_dict()) for tag in tags]

    @server.tool()
    def ask_product(
        question: Annotated[str, Field(min_length=1, max_length=1000, description="In English or Chinese.")],
        title: Title = None,
        picture: Picture = None,
        precision: Precision = DEFAULT_PRECISION,
    ) -> list[SaidReply]:
        """Answers to a question about one product: "what colour is it?", "is it a dress?"."""
        try:
            replies = model.ask(question, _picture(picture, folder), title, precision=precision)
        except ShopvlError as fault:
            raise ToolError(str(fault)) from fault
        told = [{**reply.as_dict(), "verdict": reply.verdict(), "sentence": sentence(reply)} for reply in replies]
        return [SaidReply.model_validate(one) for one in told]

    if index is not None:

        @server.tool()
        def search_products(
            query: Annotated[str | None, Field(max_length=1000, description="shirts not black under 50")] = None,
            picture: Picture = None,
            where: Annotated[list[str], Field(description="PROPERTY=VALUE or PROPERTY<NUMBER.")] = [],  # noqa: B006
            k: Annotated[int, Field(ge=1, le=100, description="How many.")] = 10,
        ) -> list[FoundHit]:
            """Products of the shop by words, a picture, or both, the best first; none where nothing fits."""
            try:
                found = index.search(query, _picture(picture, folder), where=conditions(where), k=k)
            except ShopvlError as fault:
                raise ToolError(str(fault)) from fault
            return [FoundHit.model_validate(hit.as_dict()) for hit in found.hits]

    return server


def _picture(place: str | None, folder: Path) -> bytes | None:
    """Raises ImageError for a file outside the folder, or one that is not there."""
    if place is None:
        return None
    if is_url(place):
        return fetch(place, attempts=1)
    try:
        inside = "://" not in place and (folder / place).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError):
        inside = False
    if not inside:
        raise ImageError(f"{place[:200]!r} is not a file below {folder}, which is where pictures are read from")
    return image_bytes({"path": place}, folder)
