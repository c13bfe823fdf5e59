"""Batch norms folded into what comes before them: the same outputs for less work, for inference only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
Places = dict[nn.Module, list[tuple[nn.Module, str]]]  # by part, the modules that have it and under which name
MOST_APART = 1e-3  # of the largest output; rounding alone stays far below


def fold_batchnorm(model: nn.Module, run: Callable[[], Sequence[Tensor]]) -> int:
    """Fold every batch norm of a model in evaluation mode that can be; returns how many. Cannot be undone.

    `run` calls the model with an example. It is watched for which norm reads what which convolution or linear map
    makes, whatever the net looks like. A norm stays where its input is read elsewhere or is made by more than one
    part; if the outputs differ after all, because something else reads it too, all of them stay.
    """
    with torch.no_grad():
        pairs, places = _pairs(model, run), _places(model)
        before = run()
        undo = [(part, norm, _fold(places, part, norm)) for part, norm in pairs]
        if not all(_alike(*both) for both in zip(before, run(), strict=True)):
            for part, norm, (folded, rest) in undo:
                _put(places, folded, part)
                _put(places, rest, norm)
            return 0
    for _, _, (_, rest) in undo:
        _put(places, rest, rest[0])
    return len(undo)


def _pairs(model: nn.Module, run: Callable[[], Any]) -> list[tuple[nn.Module, _BatchNorm]]:
    """Each linear part whose every output goes into one norm, which reads nothing else; and that norm."""
    made: dict[int, tuple[nn.Module, Tensor]] = {}  # by the tensor's id, which holds as long as the tensor is kept
    read_by: dict[nn.Module, list[nn.Module]] = defaultdict(list)
    reads: dict[nn.Module, list[nn.Module | None]] = defaultdict(list)
    calls: dict[nn.Module, int] = defaultdict(int)

    def after(part: nn.Module, _: Any, output: Tensor) -> None:
        made[id(output)] = part, output
        calls[part] += 1

    def before(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        source = made.get(id(inputs[0]), (None,))[0]
        reads[norm].append(source)
        if source is not None:
            read_by[source].append(norm)

    hooks = [part.register_forward_hook(after) for part in model.modules() if _is_linear(part)]
    hooks += [part.register_forward_pre_hook(before) for part in model.modules() if _after_norm(part) is not None]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return [
        (part, norm)
        for part, (norm, *others) in read_by.items()
        if isinstance(norm, _BatchNorm)
        and set(others) <= {norm}
        and set(reads[norm]) == {part}
        and len(reads[norm]) == calls[part]
    ]


def _is_linear(part: nn.Module) -> bool:
    return isinstance(part, Convolution | nn.Linear)


def _after_norm(norm: nn.Module) -> nn.Module | None:
    """What is left of a batch norm that was folded: nothing, or the activation of one that has it built in (timm's).

    None for a module that is not such a norm or does more, of which nothing is known.
    """
    if not isinstance(norm, _BatchNorm) or not norm.track_running_stats:
        return None
    if type(norm) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
        return nn.Identity()
    act, drop = getattr(norm, "act", None), getattr(norm, "drop", None)
    return act if isinstance(act, nn.Module) and isinstance(drop, nn.Identity | None) else None


def _fold(places: Places, part: nn.Module, norm: _BatchNorm) -> tuple[nn.Module, nn.Sequential]:
    """The part with the norm in it, and what is left of the norm, in their places."""
    folded = fuse_linear_bn_eval(part, norm) if isinstance(part, nn.Linear) else fuse_conv_bn_eval(part, norm)
    # a container, to be found again: the activation itself may stand in several places
    rest = nn.Sequential(_after_norm(norm) or nn.Identity())
    _put(places, part, folded)
    _put(places, norm, rest)
    return folded, rest


def _places(model: nn.Module) -> Places:
    places = defaultdict(list)
    for parent in model.modules():
        for name, child in parent._modules.items():  # `named_children` leaves out a name of one it has given
            if child is not None:
                places[child].append((parent, name))
    return places


def _put(places: Places, old: nn.Module, new: nn.Module) -> None:
    """`new` wherever the model has `old`."""
    for parent, name in places[old]:
        setattr(parent, name, new)
    places[new] = places.pop(old)


def _alike(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).abs().max() <= MOST_APART * one.abs().max().clamp(min=1e-6))
