"""When picture and title are in conflict: they say different things about one property."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from shopvl.catalog.vocabulary import UNKNOWN


def conflict_score(picture_NK: Tensor, title_NK: Tensor, values: Sequence[str]) -> Tensor:
    """(N,): the title's confidence in its value, times the log-ratio of the picture's best value to the title's value.

    In nats; 0 where both choose the same value, and where either says `unknown`.
    """
    said_N1 = title_NK.argmax(-1, keepdim=True)
    shown_N1 = picture_NK.argmax(-1, keepdim=True)
    gap_N1 = (picture_NK.gather(1, shown_N1) / picture_NK.gather(1, said_N1).clamp(min=1e-4)).log()
    score_N = (title_NK.gather(1, said_N1) * gap_N1)[:, 0]
    if values and values[-1] == UNKNOWN:
        last = len(values) - 1
        score_N = score_N.masked_fill((said_N1 == last)[:, 0] | (shown_N1 == last)[:, 0], 0.0)
    return score_N
