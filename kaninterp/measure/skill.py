"""Whether the model knows anything: what it saves of the loss of the best constant prediction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kaninterp.core.errors import KanInterpError
from kaninterp.core.frozen import Array
from kaninterp.core.trust import TrustReading
from kaninterp.data import Batch
from kaninterp.measure.bootstrap import LEVEL, BlockBootstrap, memory, quotients
from kaninterp.measure.host import outputs
from kaninterp.measure.losses import Loss, row_losses
from kaninterp.nn import resolve_loss

__all__ = ["best_constant", "saved_share", "skill_reading"]

RAREST = 1e-9
"""Share taken for a class that no row has, so that its logit is a number; it costs nothing where it never occurs."""

DESCENT_STEPS = 100
"""Steps of L-BFGS for a loss whose best constant has no formula: a few numbers, hence far more than it needs."""

RowLosses = Callable[[Tensor], Tensor]


def skill_reading(model: nn.Module, batch: Batch, block: int, *, loss: Loss, rng: np.random.Generator) -> TrustReading:
    """Share of the loss of the best constant prediction that the model saves: 1 - loss / constant loss.

    For "mse" this is R2. The constant is fitted on the very rows it is judged on, which favours the constant.

    Parameters
    ----------
    model : nn.Module
        Call it inside `untouched`.
    batch : Batch
        The rows.
    block : int
        Rows to keep together in the bootstrap; more, where what the model saves depends on its neighbours for longer.
    loss : str, callable or None
        As for `kaninterp.nn.resolve_loss`.
    rng : numpy.random.Generator
        Of the bootstrap.

    Returns
    -------
    TrustReading
        1: no loss is left; 0: no better than a constant, which is what chance gives; below 0: worse. Not measured
        without a target, for a constant target, and for a loss whose best constant is not found.

    Raises
    ------
    ShapeError, DataError
        Output and target do not fit, or the loss is no number.

    Examples
    --------
    >>> x = torch.arange(40.0)[:, None]
    >>> batch = Batch(inputs=(x,), keys=None, target=3 * x)
    >>> line = torch.nn.Linear(1, 1, bias=False)
    >>> _ = torch.nn.init.constant_(line.weight, 3.0)
    >>> with torch.no_grad():
    ...     skill_reading(line, batch, 4, loss=None, rng=np.random.default_rng(0)).value
    1.0
    """
    target = batch.target
    if target is None:
        return TrustReading.unmeasured(
            "skill", "no target was given, so nothing tells a good prediction from a bad one"
        )
    if bool((target == target[:1]).all()):
        return TrustReading.unmeasured("skill", "the target is the same on all rows, so there is nothing to predict")
    output = outputs(model, batch)
    losses, name = row_losses(loss, target, output)
    constant = best_constant(loss, name, output, target)
    if constant is None:
        return TrustReading.unmeasured(
            "skill", f"no best constant was found for the loss {name!r}, because it has no gradient there"
        )
    own, other = losses(output), losses(constant.expand_as(output))
    if not other.mean() > 0:
        return TrustReading.unmeasured(
            "skill", f"the loss {name!r} of the best constant is {other.mean():.3g}: there is nothing to save"
        )
    kept = max(block, _kept_together(other - own))
    drawn = BlockBootstrap(len(own), kept, rng).means(np.stack([own, other], axis=1))
    low, high = saved_share(drawn)
    return TrustReading(
        check="skill",
        value=float(1 - own.mean() / other.mean()),
        low=low,
        high=high,
        chance=0.0,
        effort=f"{len(own):,} rows, {name}",
    )


def _kept_together(saved: Array) -> int:
    """Rows in which what is saved resembles itself, twice: on slow series a model is right, or lucky, for long."""
    found = memory(saved)
    return 2 * found if found > 1 else 1


def saved_share(drawn: Array) -> tuple[float, float]:
    """Interval of 1 - loss / constant loss from drawn means of both, (DRAWS, 2).

    A draw in which the constant loses nothing leaves nothing to save: its share is 0.

    Examples
    --------
    >>> saved_share(np.array([[1.0, 2.0], [1.0, 2.0]]))
    (0.5, 0.5)
    """
    shares = np.nan_to_num(1 - quotients(drawn[:, 0], drawn[:, 1]), nan=0.0)
    low, high = np.quantile(shares, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def best_constant(loss: Loss, name: str, output: Tensor, target: Tensor) -> Tensor | None:
    """The one output, shape ``(1, ...)`` of a row, whose mean loss over all rows is smallest; None if none is found.

    Mean ("mse"), median ("mae"), logits of the class frequencies ("bce", "cross_entropy"); for every other loss by
    L-BFGS from the best of mean, median and mean output.

    Parameters
    ----------
    loss, name
        The loss, and what it is called.
    output : Tensor, shape (rows, ...)
        What the model gives: the shape to be filled.
    target : Tensor, shape (rows, ...)
        What it should give.

    Raises
    ------
    ShapeError
        Output and target do not fit.

    Examples
    --------
    >>> best_constant("mse", "mse", torch.zeros(4, 1), torch.tensor([1.0, 2.0, 3.0, 6.0]))
    tensor([[3.]])
    """
    exact = _EXACT.get(name) if loss is None or isinstance(loss, str) else None
    if exact is not None:
        found: Tensor = exact(output, target)
        return found
    losses = resolve_loss(loss)

    def rows(constant: Tensor) -> Tensor:
        return losses(constant.expand_as(output), target)

    starts = [output.mean(0, keepdim=True), torch.zeros_like(output[:1])]
    if target.numel() == output.numel():
        fitted = target.reshape(output.shape).to(output.dtype)
        starts += [fitted.mean(0, keepdim=True), fitted.median(0, keepdim=True).values]
    scores = [float(rows(start).mean()) for start in starts]
    return _descended(rows, starts[int(np.argmin(scores))])


def _descended(rows: RowLosses, start: Tensor) -> Tensor | None:
    """The constant after L-BFGS, or where it began if that is better; None if the loss has no gradient."""
    constant = start.detach().clone().requires_grad_()
    search = torch.optim.LBFGS([constant], max_iter=DESCENT_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        value = rows(constant).mean()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    try:
        with torch.enable_grad():
            search.step(closure)  # type: ignore[no-untyped-call]
    except KanInterpError:
        raise
    except RuntimeError:  # no gradient flows from the loss to the output
        return None
    found = constant.detach()
    return found if float(rows(found).mean()) <= float(rows(start).mean()) else start


def _mean(output: Tensor, target: Tensor) -> Tensor:
    return target.reshape(output.shape).to(output.dtype).mean(0, keepdim=True)


def _median(output: Tensor, target: Tensor) -> Tensor:
    return target.reshape(output.shape).to(output.dtype).median(0, keepdim=True).values


def _logits(output: Tensor, target: Tensor) -> Tensor:
    share = target.reshape(output.shape).double().mean(0, keepdim=True).clamp(RAREST, 1 - RAREST)
    return torch.logit(share).to(output.dtype)


def _class_logits(output: Tensor, target: Tensor) -> Tensor:
    if not target.is_floating_point():
        classes = target.reshape(output.shape[:-1]).long()
        target = nn.functional.one_hot(classes, output.shape[-1])
    return target.double().mean(0, keepdim=True).clamp(min=RAREST).log().to(output.dtype)


_EXACT: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "mse": _mean,
    "mae": _median,
    "bce": _logits,
    "cross_entropy": _class_logits,
}
"""Best constants with a formula."""
