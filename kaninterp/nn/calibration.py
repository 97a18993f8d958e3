"""Where the inputs of every layer of a head lie: ranges over batches, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from kaninterp.core.errors import DataError, InputTypeError
from kaninterp.nn.layer import KANLayer

__all__ = ["across_processes", "evaluated", "rereadable", "seen_range"]


def rereadable(batches: Tensor | Iterable[Tensor], check: Callable[[Tensor], None]) -> Sequence[Tensor]:
    """Hold batches so that they can be read once per layer; check each before anything is changed.

    Parameters
    ----------
    batches
        One tensor, or several; a list or tuple is used as it is, anything else is gathered into a tuple.
    check
        Raises if a batch does not fit the head.

    Returns
    -------
    sequence of Tensor

    Raises
    ------
    DataError
        No rows, NaN or inf. InputTypeError if `batches` is not iterable.

    Examples
    --------
    >>> import torch
    >>> len(rereadable((torch.zeros(2, 3) for _ in range(4)), check=lambda batch: None))
    4
    """
    if not isinstance(batches, Iterable):
        raise InputTypeError(f"batches must be a tensor or several tensors, got {type(batches).__name__}")
    several = (batches,) if isinstance(batches, Tensor) else batches
    held = several if isinstance(several, Sequence) else tuple(several)
    for batch in held:
        check(batch)
        if not bool(batch.isfinite().all()):
            raise DataError(f"a calibration batch {tuple(batch.shape)} holds NaN or inf; remove those rows")
    if sum(batch.numel() for batch in held) == 0:
        raise DataError("calibration needs at least one row of head inputs (..., in_features), got none")
    return held


def seen_range(layers: Sequence[KANLayer], batches: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Range of what comes out of some layers over all batches, per column.

    Parameters
    ----------
    layers
        Applied one after the other, as in eval mode; none: the range of the batches themselves.
    batches
        Inputs (..., in) of the first layer, at least one row in all.

    Returns
    -------
    lo, hi : Tensor, shape (width,)
        Smallest and largest value.

    Examples
    --------
    >>> import torch
    >>> seen_range((), (torch.tensor([[1.0, 5.0], [3.0, 4.0]]),))
    (tensor([1., 4.]), tensor([3., 5.]))
    """
    lows, highs = [], []
    for batch in batches:
        if batch.numel():
            x = batch.reshape(-1, batch.shape[-1])
            for layer in layers:
                x = evaluated(layer, x)
            lows.append(x.amin(0))
            highs.append(x.amax(0))
    return torch.stack(lows).amin(0), torch.stack(highs).amax(0)


def evaluated(layer: KANLayer, x: Tensor) -> Tensor:
    """Run a layer as in eval mode (nothing is noted as seen), whatever mode it is in."""
    flag = layer.training
    layer.training = False
    try:
        return layer.forward(x)
    finally:
        layer.training = flag


def across_processes(lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
    """Widest range over all processes of a distributed training; without one, the range itself.

    Every process has seen its own share of the data. If each moved its domains by that share alone, the copies
    of a head would drift apart.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return lo, hi
    lo, hi = lo.clone(), hi.clone()
    dist.all_reduce(lo, dist.ReduceOp.MIN)
    dist.all_reduce(hi, dist.ReduceOp.MAX)
    return lo, hi
