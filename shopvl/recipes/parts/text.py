"""Texts as a model reads them."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from shopvl.recipes.parts.blocks import Blocks
from shopvl.recipes.parts.fields import STRICT, Count
from shopvl.recipes.parts.giving import RecipePart, heads_fault

Pieces = Literal["word-pieces", "bytes"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TextTransformer(Blocks):
    """A text tower of our own: pieces learned from the catalog and transformer layers.

    What is read is the mean of the words, or the state of the first (BERT), or of the last, which ends the text. In
    `causal` sight a word sees those before it and itself (GPT, CLIP). `norm_words`: words are normed before the first
    block. `start` names a text model or CLIP of transformers that the tower begins as, tokenizer included; None: pieces
    are learned from the catalog.
    """

    gives = frozenset({"text tower", "word states"})
    kind: Literal["text-transformer"] = "text-transformer"
    layers: Count
    width: Count
    max_tokens: Count = 32
    vocabulary: Count = 8000
    pieces: Pieces = "word-pieces"
    sight: Literal["bidirectional", "causal"] = "bidirectional"
    read: Literal["mean", "first", "last"] = "mean"
    norm_words: bool = True

    def faults(self) -> list[str]:
        """The heads share the width."""
        return heads_fault("a text width", self.width, self.heads)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WordBag(RecipePart):
    """Mean of word vectors, then a small network: titles are short lists of words, and this is many times faster."""

    gives = frozenset({"text tower", "word states"})
    kind: Literal["word-bag"] = "word-bag"
    width: Count
    max_tokens: Count = 32
    vocabulary: Count = 8000


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TransformersText(RecipePart):
    """A text tower from transformers, by hub name or local folder, with its own tokenizer."""

    gives = frozenset({"text tower"})
    kind: Literal["transformers-text"] = "transformers-text"
    name: str
    max_tokens: Count = 64
    pretrained: bool = True


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WordPieces(RecipePart):
    """Word pieces as the text side of a merged encoder: `[CLS] words [SEP]`.

    `start` names a BERT of transformers, or a local folder, whose tokenizer and word vectors they begin as; None:
    learned from the catalog.
    """

    gives = frozenset({"pieces"})
    kind: Literal["wordpiece"] = "wordpiece"
    max_tokens: Count = 64
    vocabulary: Count = 8000
    start: str | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BytePieces(RecipePart):
    """Byte pairs as the text side of a merged encoder, framed like word pieces; they spell every text (GPT-2, RoBERTa).

    `norm_words`: they are normed before the first block. `start` names a text model of transformers whose tokenizer and
    word vectors they begin as, or None.
    """

    gives = frozenset({"pieces"})
    kind: Literal["bytes"] = "bytes"
    max_tokens: Count = 64
    vocabulary: Count = 8000
    norm_words: bool = True
    start: str | None = None


Text = Annotated[TextTransformer | WordBag | TransformersText | WordPieces | BytePieces, Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OcrWords:
    """Words that OCR reads on the product, each with its box, as positions beside the picture's cells (M4C,
    arXiv:1911.06258). Text laid over the picture is painted out and never read."""

    kind: Literal["ocr-words"] = "ocr-words"
    max_tokens: Count = 16
