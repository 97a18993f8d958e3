"""The optimiser that was chosen: many small steps per epoch (Adam and its kind), or one large one (L-BFGS)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from kaninterp.core.errors import InputTypeError, ModelError
from kaninterp.training.large_step import LargeStep
from kaninterp.training.objective import Objective
from kaninterp.training.options import DEFAULT_LR, FitOptions
from kaninterp.training.small_steps import SmallSteps
from kaninterp.training.sparsity import InputShrinkage
from kaninterp.training.stepping import Stepper

__all__ = ["as_stepper"]


def as_stepper(
    options: FitOptions, objective: Objective, parameters: list[nn.Parameter], shrinkage: InputShrinkage | None
) -> Stepper:
    """Make the optimiser that was chosen.

    Raises
    ------
    ModelError
        The model has nothing to train.
    InputTypeError
        A callable that does not return a torch optimizer.
    """
    if not parameters:
        raise ModelError("the model has no parameter that requires a gradient, so there is nothing to train.")
    if options.optimizer == "lbfgs":
        lr = DEFAULT_LR["lbfgs"] if options.lr is None else options.lr
        return LargeStep(parameters, objective, lr=lr, steps=options.lbfgs_steps, shrinkage=shrinkage)
    optimizer: Any
    if options.optimizer == "adam":
        lr = DEFAULT_LR["adam"] if options.lr is None else options.lr
        optimizer = torch.optim.Adam(parameters, lr=lr)
    else:
        assert not isinstance(options.optimizer, str)  # noqa: S101 - names were checked with the options
        optimizer = options.optimizer(parameters)
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise InputTypeError(f"optimizer: the callable returned a {type(optimizer).__name__}, no torch optimizer.")
        if options.lr is not None:
            for group in optimizer.param_groups:
                group["lr"] = options.lr
    return SmallSteps(optimizer, objective, clip=options.clip, shrinkage=shrinkage)
