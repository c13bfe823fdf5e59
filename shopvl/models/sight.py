"""What positions see of their line, and what is kept of a line that was read."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

KeysValues = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Packing:
    """How rows of different lengths lie in (M, D), one after the other, in groups of one length.

    `shapes` are (rows, length) of the groups; `real` marks each group's positions (rows, length) that are no padding,
    or is None where all are real.
    """

    shapes: tuple[tuple[int, int], ...]
    real: tuple[Tensor | None, ...]


@dataclass(frozen=True)
class Sight:
    """What positions see: each the real ones whose turn is not after its own.

    `real` (B, N) bool marks what is no padding, None: all; of packed rows it is their packing. `turn` (B, N) int64, or
    (M,) of packed rows; None: all see all. What a padded position sees has no meaning. A line may be longer than what
    attends: then its last positions do, and the ones before are cached keys and values.

    `table` (B or 1, n, N) bool stands in the place of both, for lines that are no order, such as branches of a tree.
    `in_order` says that turns count places and that padding is last, so that torch's causal kernel needs no mask.
    """

    real: Tensor | Packing | None = None
    turn: Tensor | None = None
    table: Tensor | None = None
    in_order: bool = False
    _masks: dict[int, Tensor | None] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def causal(cls, real_BN: Tensor) -> Sight:
        """Each position sees those before it and itself (GPT)."""
        turn_BN = torch.arange(real_BN.shape[1], device=real_BN.device).expand(real_BN.shape)
        if bool(real_BN.all()):
            return cls(turn=turn_BN, in_order=True)
        return cls(real_BN, turn_BN, in_order=bool((real_BN[:, 1:] <= real_BN[:, :-1]).all()))

    @classmethod
    def seq2seq(cls, real_BN: Tensor, source_BN: Tensor) -> Sight:
        """Positions of the source see each other; the others see the source, those before them, and themselves.

        UniLM (arXiv:1905.03197). The source need not be first.
        """
        return cls(real_BN, (~source_BN).long().cumsum(1) * ~source_BN)

    @classmethod
    def prefix(cls, real_BN: Tensor, length_B: Tensor) -> Sight:
        """`seq2seq` whose source are the first positions, a length for each row (prefix LM, arXiv:1910.10683)."""
        place_N = torch.arange(real_BN.shape[1], device=real_BN.device)
        return cls.seq2seq(real_BN, place_N < length_B[:, None])

    def mask(self, queries: int) -> Tensor | None:
        """Broadcastable to (B, 1, queries, N), True where seen, for the last positions; None: everything is."""
        if queries not in self._masks:
            self._masks[queries] = self._mask(queries)
        return self._masks[queries]

    @cached_property
    def groups(self) -> tuple[Sight, ...]:
        """Of packed rows, each group's sight."""
        assert isinstance(self.real, Packing)
        shapes, reals = self.real.shapes, self.real.real
        if self.turn is None:
            return tuple(Sight(real) for real in reals)
        turns = self.turn.split([rows * length for rows, length in shapes])
        pairs = zip(reals, turns, shapes, strict=True)
        # a packed row's padding is always last
        return tuple(Sight(real, turn.view(shape), in_order=self.in_order) for real, turn, shape in pairs)

    def _mask(self, queries: int) -> Tensor | None:
        if self.table is not None:
            return self.table[:, None]
        assert not isinstance(self.real, Packing)
        real = None if self.real is None else self.real[:, None, None, :]
        if self.turn is None or (self.in_order and queries == 1):
            return real
        order = (self.turn[:, None, :] <= self.turn[:, -queries:, None])[:, None]
        return order if real is None else order & real


EVERYTHING = Sight()


@dataclass(frozen=True)
class Context:
    """Another line's keys and values (B, H, M, d), as one block projects them; `real_BM`: which are no padding."""

    keys_values: KeysValues
    real_BM: Tensor


@dataclass(frozen=True)
class KeyValueCache:
    """What an encoder keeps of the positions that it has read, so that the next ones are read by themselves.

    `layers` are each block's keys and values (B, H, M, d), `contexts` those of another line, if blocks attend to one.
    `words_B`: how many words each row has, for whoever gives the next one its place. `allowed_BV`: which words each row
    may go on with, for whoever tells them; None: any.
    """

    layers: tuple[KeysValues, ...]
    sight: Sight
    contexts: tuple[Context, ...] = ()
    words_B: Tensor | None = None
    allowed_BV: Tensor | None = None

    def rows(self, row_R: Tensor) -> KeyValueCache:
        """These rows, in this order: how beams go on."""
        real, turn, table = (None if part is None else part[row_R] for part in self._parts())
        contexts = [(*context.keys_values, context.real_BM) for context in self.contexts]
        return KeyValueCache(
            tuple((k[row_R], v[row_R]) for k, v in self.layers),
            Sight(real, turn, table, self.sight.in_order),
            tuple(Context((k[row_R], v[row_R]), real_BM[row_R]) for k, v, real_BM in contexts),
            None if self.words_B is None else self.words_B[row_R],
            None if self.allowed_BV is None else self.allowed_BV[row_R],
        )

    def sight_after(self, count: int) -> Sight:
        """The sight of the line with `count` more positions, all real, each after all before it."""
        k_BHMd = self.layers[0][0]
        B, M = k_BHMd.shape[0], k_BHMd.shape[2]
        real_BM, turn_BM, _ = self._parts()
        if turn_BM is None:
            turn_BM = torch.zeros(B, M, dtype=torch.long, device=k_BHMd.device)
        later = torch.arange(1, count + 1, device=k_BHMd.device)
        turn_BN = torch.cat([turn_BM, turn_BM.amax(1, keepdim=True) + later], dim=1)
        if real_BM is None:
            return Sight(turn=turn_BN, in_order=self.sight.in_order)
        return Sight(F.pad(real_BM, (0, count), value=True), turn_BN)

    def sight_of(self, sees_TT: Tensor) -> Sight:
        """That of T more positions which see the line and, of each other, what `sees_TT` says: branches of a tree."""
        k_BHMd, (real_BM, _, _) = self.layers[0][0], self._parts()
        B, M, T = k_BHMd.shape[0], k_BHMd.shape[2], len(sees_TT)
        line_BTM = sees_TT.new_ones(B, T, M) if real_BM is None else real_BM[:, None].expand(-1, T, -1)
        return Sight(table=torch.cat([line_BTM, sees_TT.expand(B, -1, -1)], dim=2))

    def _parts(self) -> tuple[Tensor | None, ...]:
        assert not isinstance(self.sight.real, Packing)
        return self.sight.real, self.sight.turn, self.sight.table
