"""What is asked and answered over HTTP; the names are those of `tags.parquet` and `shopvl search --json`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, TypeAdapter
from pydantic.json_schema import models_json_schema

from shopvl.catalog.vocabulary import DEFAULT_PRECISION, Decision, Reason

COMPONENTS = "#/components/schemas/{model}"


class SentProduct(BaseModel):
    """One product; a picture, a title, or both."""

    model_config = ConfigDict(extra="forbid")
    product_id: str | int | None = Field(None, description="Left out: the row's number.")
    title: str | None = None
    description: str | None = Field(None, description="Text or HTML, read where the model knows measures and the like.")
    image: str | None = Field(None, description="The file's bytes in base64, a data URI, or an http(s) address.")
    more_images: list[str] | None = Field(None, description="Further pictures of it, as `image`.")
    path: str | None = Field(None, description="A file below $SHOPVL_IMAGE_ROOT, where the server has one.")


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")
    model: str | None = Field(None, description="One of /v1/models; the first if left out.")


class _AboutProducts(_Request):
    # rows are checked one by one, so that a faulty one does not take the others with it
    products: list[SkipValidation[SentProduct]] = Field(min_length=1)


class TagRequest(_AboutProducts):
    """Products to tag."""

    precision: float = Field(DEFAULT_PRECISION, ge=0.5, le=1.0, description="Of accepted answers.")


class AskRequest(TagRequest):
    """A question about products."""

    question: str = Field(min_length=1, max_length=1000, description="In English or Chinese.")


class EmbedRequest(_AboutProducts):
    """Products to make vectors of."""


class SearchRequest(BaseModel):
    """A query of words, a picture, or both; or `like`, an id of the index."""

    model_config = ConfigDict(extra="forbid")
    index: str | None = Field(None, description="One of /v1/models; the first if left out.")
    query: str | None = Field(None, max_length=1000)
    image: SkipValidation[str | None] = Field(None, description="As in a product.")
    like: str | None = None
    where: list[str] = Field([], max_length=100, description="PROPERTY=VALUE or PROPERTY<NUMBER.")
    facets: list[str] = Field([], max_length=100, description="Properties whose values are counted.")
    not_meant: list[str] = Field([], max_length=100, description="Parts of what was understood to be taken back.")
    by: str = Field("hybrid", description="hybrid, dense or lexical.")
    collapse: str | None = Field(None, description="photo or variant: the best of each group only.")
    k: int = Field(10, ge=1, le=1000)
    all: bool = Field(False, description="The nearest products even if nothing answers.")


class SaidTag(BaseModel):
    """The answer about one property."""

    property: str
    value: str | None
    best_guess: str | None
    probability: float
    decision: Decision
    reason: Reason
    evidence: list[str]
    conflict: bool
    alternatives: dict[str, float]
    low: float | None = Field(None, description="Of what texts state: the number, or where a range begins.")
    high: float | None = None
    unit: str | None = None
    quote: str | None = Field(None, description="The words that state it.")
    together: Decision | None = Field(None, description="About all values of a property that has several.")
    picture: int | None = Field(
        None, description="Of several pictures the one that speaks most for the value; 1: main."
    )


class SaidReply(SaidTag):
    """The answer to a question: a tag, and what the question named."""

    named: dict[str, float]
    verdict: str | None
    sentence: str


class ErrorDetail(BaseModel):
    """Why there is no answer: what came, what was wanted, what to do."""

    code: str
    message: str


class Problem(BaseModel):
    """A request that was not answered."""

    error: ErrorDetail


class _Result(BaseModel):
    product_id: str
    error: ErrorDetail | None = Field(None, description="Of this product alone.")


class TaggedProduct(_Result):
    """Answers, or an error."""

    tags: list[SaidTag] | None = None


class AnsweredProduct(_Result):
    """Replies, or an error."""

    replies: list[SaidReply] | None = None


class EmbeddedProduct(_Result):
    """Unit vectors of the inputs that the product has, or an error."""

    image: list[float] | None = None
    title: list[float] | None = None


class _Answer(BaseModel):
    model: str = Field(description="Name and digest of the model that answered.")


class TagAnswer(_Answer):
    """A result for each product, in their order."""

    products: list[TaggedProduct]


class AskAnswer(_Answer):
    """A result for each product, in their order."""

    products: list[AnsweredProduct]


class EmbedAnswer(_Answer):
    """A result for each product, in their order."""

    products: list[EmbeddedProduct]


class SearchAnswer(_Answer):
    """Hits, best first, and what was understood."""

    hits: list[FoundHit]
    understood: list[str]
    confidence: float | None
    refused: bool
    close: bool
    facets: dict[str, dict[str, int]]
    query: dict[str, Any]


class SaidPair(BaseModel):
    """A value of a property."""

    property: str
    value: str


class FoundHit(BaseModel):
    """A product of an index; `photo` and `variant` name the groups that it is in."""

    product_id: str
    score: float
    title: str
    category_path: list[str]
    attributes: list[SaidPair]
    photo: str
    variant: str


class OpenModel(BaseModel):
    """A model or index that answers."""

    name: str
    kind: Annotated[str, Field(description="model or index")]
    model: str
    products: int | None = None


class ModelList(BaseModel):
    """All that answer."""

    models: list[OpenModel]


REQUESTS = (TagRequest, AskRequest, EmbedRequest, SearchRequest)


def request_body(request: type[BaseModel], several: bool) -> dict[str, Any]:
    """How OpenAPI describes a request that comes as JSON, or as a form with files: for several products, each field
    of a product may come several times."""
    told = TypeAdapter(request).json_schema(ref_template=COMPONENTS)
    fields = {name: field for name, field in told["properties"].items() if name not in ("products", "image")}
    text, file = {"type": "string"}, {"type": "string", "format": "binary"}
    if several:
        own = {"product_id": text, "title": text, "description": text, "image": file}
        fields |= {name: {"type": "array", "items": kind} for name, kind in own.items()}
    else:
        fields["image"] = file
    needed = [name for name in told.get("required", []) if name in fields]
    body: dict[str, Any] = {"type": "object", "properties": fields} | ({"required": needed} if needed else {})
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": COMPONENTS.format(model=request.__name__)}},
                "multipart/form-data": {"schema": body},
            },
        }
    }


def request_schemas() -> dict[str, Any]:
    """The components that requests are described by."""
    _, told = models_json_schema([(one, "validation") for one in REQUESTS], ref_template=COMPONENTS)
    schemas: dict[str, Any] = told["$defs"]
    return schemas
