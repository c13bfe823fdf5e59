"""Text models of transformers in ours: BERT, RoBERTa, GPT-2 and GPT (OpenAI's first)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from shopvl.errors import DesignError
from shopvl.models.inputs import WordEmbedding
from shopvl.models.weights.renames import Renames, Row, block_rows, same_blocks, transposed, zeros


def places(theirs: Sequence[Tensor], ours: Tensor, first: int = 0) -> Tensor:
    """As many positions as there are here, from the `first` that a word can have."""
    return theirs[0][first : first + len(ours)]


def one_for_all(theirs: Sequence[Tensor], ours: Tensor) -> Tensor:
    """Every kind of text begins as their first."""
    return theirs[0][:1].expand(ours.shape[0], -1)


@dataclass(frozen=True)
class Layout:
    """Where a text model has its weights: `words` and blocks under its own prefix, the word `head` under none.

    `first_block` gives heads, a norm and the activation; `left` are weights without a use here.
    """

    words: tuple[Row, ...]
    encoder: tuple[Row, ...]
    head: tuple[Row, ...]
    first_block: Callable[[nn.Module], tuple[int, nn.LayerNorm, Callable[[Tensor], Tensor]]]
    post_norm: bool
    left: tuple[str, ...] = ()


def _bert_like(first_place: int, transform: str, norm: str, bias: str) -> Layout:
    """`first_place` is the position of a text's first token; the others name the parts of the word head."""
    words = (
        Row("word", "embeddings.word_embeddings"),
        Row("position", "embeddings.position_embeddings.weight", partial(places, first=first_place)),
        Row("segment", "embeddings.token_type_embeddings", one_for_all),
        Row("norm", "embeddings.LayerNorm"),
    )
    blocks = block_rows(
        qkv=("attention.self.query", "attention.self.key", "attention.self.value"),
        out="attention.output.dense",
        wide="intermediate.dense",
        narrow="output.dense",
        norms=("attention.output.LayerNorm", "output.LayerNorm"),
    )
    encoder = tuple(row.under("blocks.*.", "encoder.layer.*.") for row in blocks)
    head = (Row("transform.0", transform), Row("transform.2", norm), Row("bias", bias))
    return Layout(words, encoder, head, _first_of_bert, post_norm=True, left=("pooler.",))


def _first_of_bert(core: nn.Module) -> tuple[int, nn.LayerNorm, Callable[[Tensor], Tensor]]:
    first = core.encoder.layer[0]
    return core.config.num_attention_heads, first.output.LayerNorm, first.intermediate.intermediate_act_fn


def _gpt_like(words: str, positions: str, last: tuple[Row, ...]) -> Layout:
    blocks = block_rows(
        qkv="attn.c_attn",
        out="attn.c_proj",
        wide="mlp.c_fc",
        narrow="mlp.c_proj",
        norms=("ln_1", "ln_2"),
        take=transposed,
    )
    encoder = tuple(row.under("blocks.*.", "h.*.") for row in blocks)
    embedding = (
        Row("word", words),
        Row("position", f"{positions}.weight", places),
        Row("segment.weight", (), zeros),
    )
    return Layout(embedding, (*encoder, *last), (), _first_of_gpt, post_norm=not last)


def _first_of_gpt(core: nn.Module) -> tuple[int, nn.LayerNorm, Callable[[Tensor], Tensor]]:
    return core.config.n_head, core.h[0].ln_2, core.h[0].mlp.act


BERT_HEAD = "cls.predictions.transform"
LAYOUTS = {
    "bert": _bert_like(0, f"{BERT_HEAD}.dense", f"{BERT_HEAD}.LayerNorm", "cls.predictions.bias"),
    "roberta": _bert_like(2, "lm_head.dense", "lm_head.layer_norm", "lm_head.bias"),  # places 0 and 1 are of padding
    "gpt2": _gpt_like("wte", "wpe", last=(Row("norm", "ln_f"),)),
    "openai-gpt": _gpt_like("tokens_embed", "positions_embed", last=()),
}
HEADS = ("cls.", "lm_head.")  # what may stand beside the core: word heads, and whether two sentences follow each other
# of a word head, what stands a second time
TIED = ("cls.predictions.decoder", "cls.seq_relationship", "lm_head.decoder", "lm_head.weight")


def copy_text_model(
    theirs: nn.Module,
    *,
    words: WordEmbedding | None = None,
    encoder: nn.Module | None = None,
    head: nn.Module | None = None,
) -> None:
    """Copy a BERT, RoBERTa, GPT-2 or GPT of transformers, with or without its head, into those parts that are given.

    BERT's kinds of text begin as its first segment, and its pooler is left; GPT has no segments, and its head is its
    words. `encoder` has `blocks`, whose attention to another line is left as it is. `head` has BERT's `transform` (a
    map, an activation, a norm) and a `bias`. Raises DesignError, before anything is copied, for another kind of model
    and where something does not fit.
    """
    kind = theirs.config.model_type
    if kind not in LAYOUTS:
        raise DesignError(f"a {kind} is no text model that can be copied; name one of {', '.join(LAYOUTS)}")
    layout, core = LAYOUTS[kind], theirs.base_model
    prefix = "" if core is theirs else f"{theirs.base_model_prefix}."
    tells = prefix and (head is not None or not layout.head)
    if tells and theirs.get_output_embeddings().weight is not theirs.get_input_embeddings().weight:
        raise DesignError("these weights tell words by another table than they read them by, which no model here does")
    if encoder is not None:
        same_blocks(encoder, *layout.first_block(core), layout.post_norm)
    left, rows, parts = list(TIED if head is not None else HEADS), [], {}
    left += [prefix + name for name in layout.left]
    for name, part, own_rows, under in (
        ("words", words, layout.words, prefix),
        ("encoder", encoder, layout.encoder, prefix),
        ("head", head, layout.head, ""),
    ):
        if part is None:
            left += [under + source.split("*")[0] for row in own_rows for source in row.sources]
        else:
            parts[name] = part
            rows += [row.under(f"{name}.", under) for row in own_rows]
    Renames(rows, left, own=["crossing", ".cross.", ".norm_cross.", ".writing.", ".norm_writing."]).copy(
        nn.ModuleDict(parts), theirs.state_dict()
    )
