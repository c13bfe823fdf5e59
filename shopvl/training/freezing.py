"""What a stage does not train stays as it is, to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from shopvl.errors import RecipeError
from shopvl.recipes.parts import Stage


@contextmanager
def training_only(model: nn.Module, stage: Stage) -> Iterator[None]:
    """Inside it the model is in training, but for what the stage leaves alone.

    These weights get no gradient, and modules without any that learns run as in use: no dropout, batch norms by their
    running statistics. What was frozen before stays so. Raises RecipeError where nothing is left to learn.
    """
    learned_before = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    model.train()
    if stage.trains is not None:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(parameter.requires_grad and stage.trains_parameter(name))
        for module in model.modules():
            own = list(module.parameters())
            if own and not any(parameter.requires_grad for parameter in own):
                module.eval()
    try:
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise RecipeError(f"all of {', '.join(stage.trains or ('the model',))} is frozen; name a part that learns")
        yield
    finally:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(learned_before[name])
