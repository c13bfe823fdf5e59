"""What a model reads of one product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shopvl.batch import Modality
from shopvl.inference.ask import Conflict, Reply

Pictures = bytes | tuple[bytes, ...] | None  # of one product; of several the first is the main one


def each_picture(pictures: Pictures) -> tuple[bytes, ...]:
    """All of them, the main one first."""
    return pictures if isinstance(pictures, tuple) else () if pictures is None else (pictures,)


@dataclass(frozen=True)
class Read:
    """Every answer about one product: those that its category has, what else there is, and what contradicts."""

    replies: Mapping[str, Reply]
    applicable: Sequence[str]
    conflicts: Sequence[Conflict]
    inputs: Sequence[Modality]
    not_used: Mapping[Modality, str]  # why, as a sentence; "" where the model knows nothing like it

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "answers": [self.replies[name].as_dict() for name in self.applicable],
            "does_not_apply": [name for name in self.replies if name not in self.applicable],
            "conflicts": [{**vars(conflict), "sentence": conflict.sentence()} for conflict in self.conflicts],
            "inputs": list(self.inputs),
            "not_used": dict(self.not_used),
        }
