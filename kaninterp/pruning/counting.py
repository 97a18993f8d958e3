"""Multiply-adds of a model, counted by watching every operation while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from math import prod
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from kaninterp.data import Batch, called
from kaninterp.measure.host import untouched
from kaninterp.nn import rows_first

__all__ = ["count_multiply_adds"]

Shape = tuple[int, ...]


def count_multiply_adds(model: nn.Module, batch: Batch) -> float:
    """Multiplications with an addition per row of a batch.

    Parameters
    ----------
    model
        Run once in eval mode, left as it was.
    batch
        Rows to run it on. Sequences count with all their time steps.

    Returns
    -------
    float
        Of matrix products, convolutions, recurrent layers and attention. What is done element by element (biases,
        activations, the basis of a KAN layer) is not counted. A masked edge or weight counts: it is multiplied too.

    Raises
    ------
    ModelError
        The model fails on the batch.

    Examples
    --------
    >>> rows = Batch(inputs=(torch.zeros(2, 5, 3),), keys=None, target=None)
    >>> count_multiply_adds(torch.nn.LSTM(3, 8, batch_first=True), rows)
    1760.0
    """
    counter = FlopCounterMode(display=False, custom_mapping=_OPAQUE)
    with untouched(model), _seen_through(), rows_first(model, batch.inputs), counter:
        called(model, batch)
    return counter.get_total_flops() / 2 / batch.n_rows


def _recurrent(*shapes: Any, out_shape: Any = None, **options: Any) -> int:
    """One direction of one layer of an LSTM, which oneDNN runs at once: (input, weights on it, on the state, ...)."""
    del out_shape, options
    steps, rows = shapes[0][0], shapes[0][1]
    return int(2 * steps * rows * (prod(shapes[1]) + prod(shapes[2])))


_OPAQUE: dict[Any, Callable[..., Any]] = {torch.ops.aten.mkldnn_rnn_layer: _recurrent}
"""Operations torch has no count for; all others are taken apart into matrix products by `_seen_through`."""


@contextmanager
def _seen_through() -> Iterator[None]:
    """Attention and recurrent layers as the matrix products they are, not as fused operations that hide them."""
    fast = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if torch.cuda.is_available():
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)
