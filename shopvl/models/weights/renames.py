"""Which of their weights goes where: a table of names, checked on both sides before anything is copied."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from shopvl.errors import DesignError

Take = Callable[[Sequence[Tensor], Tensor], Tensor]  # their weights, and ours for its shape: what ours becomes
SHOWN = 3  # problems in a message


def stacked(theirs: Sequence[Tensor], ours: Tensor) -> Tensor:
    """One above the other: one map of query, key and value."""
    return torch.cat(list(theirs))


def transposed(theirs: Sequence[Tensor], ours: Tensor) -> Tensor:
    """Of a map that is kept as (inputs, outputs)."""
    return theirs[0].t()


def zeros(theirs: Sequence[Tensor], ours: Tensor) -> Tensor:
    """Of what they do not have: added, it changes nothing."""
    return ours.new_zeros(ours.shape)


@dataclass(frozen=True)
class Row:
    """A weight of ours and those of theirs that it is taken from; a layer's name stands for its weight and its bias.

    `*` in a name is the number of a block.
    """

    ours: str
    theirs: str | tuple[str, ...]
    take: Take = stacked

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of theirs."""
        return (self.theirs,) if isinstance(self.theirs, str) else self.theirs

    def under(self, ours: str, theirs: str) -> Row:
        """The same inside modules of those names."""
        return replace(self, ours=ours + self.ours, theirs=tuple(theirs + name for name in self.sources))

    def numbered(self, number: int) -> Row:
        """Of one block."""
        names = tuple(name.replace("*", str(number)) for name in self.sources)
        return replace(self, ours=self.ours.replace("*", str(number)), theirs=names)


def block_rows(
    *,
    qkv: str | tuple[str, ...],
    out: str,
    wide: str,
    narrow: str,
    norms: tuple[str, str],
    take: Take = stacked,
) -> tuple[Row, ...]:
    """The rows of one block, whose parts are called so over there.

    `wide` and `narrow` are the two layers after attention, `norms` that of attention and that of those; `take` is for
    the maps.
    """
    return (
        Row("attention.qkv", qkv, take),
        Row("attention.out", out, take),
        Row("mlp.0", wide, take),
        Row("mlp.3", narrow, take),
        Row("norm_attention", norms[0]),
        Row("norm_mlp", norms[1]),
    )


@dataclass(frozen=True)
class Renames:
    """A table from their names to ours.

    `left` begin the names of those of theirs that nothing here has a place for; `own` are in the names of those of
    ours that they say nothing about. Any other weight without a partner is an error, on either side.
    """

    rows: Sequence[Row]
    left: Sequence[str] = ()
    own: Sequence[str] = ()

    def copy(self, ours: nn.Module, theirs: Mapping[str, Tensor]) -> None:
        """Fill `ours`. Raises DesignError, and copies nothing, where a size differs or a weight is left over."""
        targets = dict(ours.named_parameters())
        rows = self._each(targets, theirs)
        made, problems = {}, []
        for row in rows:
            target = targets[row.ours]
            value = row.take([theirs[name] for name in row.sources], target)
            made[row.ours] = value
            if value.shape != target.shape:
                problems.append(f"{row.ours} is {tuple(target.shape)} here and {tuple(value.shape)} there")
        used = {name for row in rows for name in row.sources}
        own, left = tuple(self.own), tuple(self.left)
        missing = [name for name in targets.keys() - made.keys() if not any(part in name for part in own)]
        problems += [f"{name} finds nothing there" for name in missing]
        problems += [f"{name} has no place here" for name in theirs.keys() - used if not name.startswith(left)]
        _refuse(sorted(problems))
        with torch.no_grad():
            for name, value in made.items():
                targets[name].copy_(value)

    def _each(self, targets: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> list[Row]:
        """A row for every single weight, for as many blocks as both have."""
        counts = {(_blocks(row.ours, targets), _blocks(row.sources[0], theirs)) for row in self.rows if "*" in row.ours}
        _refuse([f"there are {there} blocks there and {here} here" for here, there in counts if here != there])
        whole = [row for row in self.rows if "*" not in row.ours]
        for here, _ in counts:
            whole += [row.numbered(number) for row in self.rows if "*" in row.ours for number in range(here)]
        return [single for row in whole for single in _weight_and_bias(row, targets, theirs)]


def _weight_and_bias(row: Row, targets: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> list[Row]:
    rows = [row] if row.ours in targets else []
    for suffix in (".weight", ".bias"):
        names = tuple(name + suffix for name in row.sources)
        if row.ours + suffix in targets:
            rows.append(replace(row, ours=row.ours + suffix, theirs=names))
    return [one for one in rows if theirs.keys() >= set(one.sources)]


def _blocks(pattern: str, names: Mapping[str, Tensor]) -> int:
    """How many blocks are numbered so."""
    known = re.compile(re.escape(pattern).replace(r"\*", r"(\d+)") + r"(\.weight|\.bias)?")
    return len({found[1] for name in names if (found := known.fullmatch(name))})


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        more = f", and {len(problems) - SHOWN} more of the kind" if len(problems) > SHOWN else ""
        raise DesignError(
            f"these weights do not fit this model: {'; '.join(problems[:SHOWN])}{more}; choose the same size and kind"
        )


def same_blocks(
    encoder: nn.Module, heads: int, norm: nn.LayerNorm, activation: Callable[[Tensor], Tensor], post_norm: bool
) -> None:
    """Raises DesignError where blocks compute something else than those over there, which no size of a weight tells.

    `norm` and `activation` are one of theirs.
    """
    block = encoder.blocks[0]
    points = torch.linspace(-4, 4, 33, device="cpu")
    problems = []
    if block.attention.heads != heads:
        problems.append(f"there are {heads} heads there and {block.attention.heads} here")
    if block.norm_mlp.eps != norm.eps:
        problems.append(f"norms add {norm.eps:g} there and {block.norm_mlp.eps:g} here")
    if (block.norm_place == "post") != post_norm:
        problems.append(f"blocks are {'post' if post_norm else 'pre'}-norm there and {block.norm_place}-norm here")
    if not torch.allclose(block.mlp[1](points), activation(points), atol=1e-6):
        problems.append(f"the activation there is not the {type(block.mlp[1]).__name__} of here")
    _refuse(problems)
