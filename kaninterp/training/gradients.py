"""How far the gradients of raw columns stand out from their noise, measured on parts of the data."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kaninterp.training.feeds import Feeds
from kaninterp.training.objective import Objective
from kaninterp.training.sparsity import InputShrinkage

__all__ = ["column_gradients"]

PARTS = 32
"""Parts of the data whose gradients are compared: their variance is then known to a quarter of itself."""


def column_gradients(
    model: nn.Module, objective: Objective, feeds: Feeds, shrinkage: InputShrinkage
) -> tuple[list[Tensor], list[Tensor]]:
    """Mean gradient per raw column, and its standard error, by the method of batch means.

    Neighbouring rows stay in one part, so that windows that overlap, and errors that last for some time, count for
    less, as they should.

    Returns
    -------
    means, errors
        Per reading module (columns,): norm of the gradient of the mean loss; root of the expected square of that norm
        if it were nothing but noise.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    sums = [torch.zeros_like(parameter) for parameter in parameters]
    squares: list[Tensor] = []
    rows = parts = 0
    for batch in feeds.in_parts(PARTS):
        model.zero_grad(set_to_none=True)
        objective.loss(batch).backward()  # type: ignore[no-untyped-call]
        found = [norms.square() * batch.n_rows for norms in shrinkage.gradient_norms()]
        squares = [a + b for a, b in zip(squares, found, strict=True)] if squares else found
        for total, parameter in zip(sums, parameters, strict=True):
            if parameter.grad is not None:
                total.add_(parameter.grad, alpha=batch.n_rows)
        rows, parts = rows + batch.n_rows, parts + 1
    for total, parameter in zip(sums, parameters, strict=True):
        parameter.grad = total / rows
    means = shrinkage.gradient_norms()
    model.zero_grad(set_to_none=True)
    # E m |g|^2 over parts of m rows is the variance of a row plus m times the square of the mean
    spread = [
        (square / parts - (rows / parts) * mean.square()).clamp_min(0) * parts / max(parts - 1, 1)
        for square, mean in zip(squares, means, strict=True)
    ]
    return means, [(variance / rows).sqrt() for variance in spread]
