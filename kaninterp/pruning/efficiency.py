"""What models cost to keep and to run: counted and timed, models that are compared taking turns."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from torch import Tensor, nn

from kaninterp.core.errors import InputError, InputTypeError, StateError
from kaninterp.core.frozen import Array
from kaninterp.core.pruned import Efficiency
from kaninterp.data import Batch, called
from kaninterp.measure.host import untouched
from kaninterp.measure.tracing import prepared
from kaninterp.nn import KANLayer
from kaninterp.pruning.counting import count_multiply_adds
from kaninterp.pruning.outcome import parameter_count

__all__ = ["Efficiency", "bytes_on_disk", "compare", "measure_efficiencies", "measure_efficiency", "nonzero_count"]

REPEATS = 50
WARM_UP = 3
"""Untimed calls: allocators and caches fill, `torch.compile` compiles."""
LEAST_MS = 2.0
"""A call that takes less is repeated within one timing, so that the clock's own steps do not count."""
MOST_CALLS = 200
RECOMPILES = 256
"""Versions of one function that dynamo may compile: it would go back to eager without a word after eight."""

QUANTITIES = {
    "parameters": "parameters",
    "nonzero": "non-zero parameters",
    "multiply_adds": "multiply-adds per row",
    "bytes_on_disk": "bytes on disk",
    "latency_ms": "latency, ms",
    "latency_iqr_ms": "interquartile range, ms",
    "latency_best_ms": "fastest, ms",
    "throughput": "rows per second",
    "compiled_ms": "latency compiled, ms",
    "compiled_iqr_ms": "interquartile range compiled, ms",
}
"""Rows of `compare`: field and what it is called."""


def measure_efficiency(
    model: nn.Module, example: Any, *, repeats: int = REPEATS, compiled: bool = False, batch: int | None = None
) -> Efficiency:
    """Measure what a model costs to keep and to run on this machine, with torch's present number of threads.

    Parameters
    ----------
    model : nn.Module
        Run in eval mode without gradients; left bit-identical.
    example
        Rows of data in any form `trace` takes; a target is ignored.
    repeats : int
        Times taken; the median is reported.
    compiled : bool
        Also time the model under `torch.compile` (which needs a C++ compiler, takes its time and writes to its
        cache).
    batch : int, optional
        Rows per call, evenly spaced over the example. None: all of the example, at most 1024.

    Returns
    -------
    Efficiency

    Raises
    ------
    InputError
        ``repeats`` or ``batch`` below 1.
    ModelError, DataError
        The model cannot be called with the example.
    StateError
        `torch.compile` failed.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> cost = measure_efficiency(ki.KANHead(4, 2, (3,)), torch.randn(8, 4), repeats=5)
    >>> cost.parameters, cost.multiply_adds, cost.batch, cost.latency_ms > 0
    (167, 162, 8, True)
    """
    return measure_efficiencies((model,), example, repeats=repeats, compiled=compiled, batch=batch)[0]


def measure_efficiencies(
    models: Sequence[nn.Module],
    example: Any,
    *,
    repeats: int = REPEATS,
    compiled: bool = False,
    batch: int | None = None,
) -> tuple[Efficiency, ...]:
    """Measure several models that take the same inputs, in turns.

    What slows the machine down for a while then slows all of them down, and their ratio stays. Parameters, errors:
    see `measure_efficiency`.

    Examples
    --------
    >>> import torch
    >>> wide, small = torch.nn.Linear(64, 64), torch.nn.Linear(64, 2)
    >>> [cost.multiply_adds for cost in measure_efficiencies((wide, small), torch.randn(4, 64), repeats=2)]
    [4096, 128]
    """
    _check_whole("repeats", repeats)
    models = tuple(models)
    if not models:
        raise InputError("models: expected at least one, got none")
    rows = _example(models[0], example, batch)
    with ExitStack() as stack:
        for model in models:
            stack.enter_context(untouched(model))
        counted = [round(count_multiply_adds(model, rows)) for model in models]
        eager = _timed(models, rows, repeats)
        fast = _timed_compiled(models, rows, repeats) if compiled else [None] * len(models)
    return tuple(
        _efficiency(model, adds, times, after, rows.n_rows)
        for model, adds, times, after in zip(models, counted, eager, fast, strict=True)
    )


def compare(before: Efficiency, after: Efficiency) -> pd.DataFrame:
    """Table of two models: one row per quantity, columns before, after and ratio (after / before).

    Examples
    --------
    >>> cost = Efficiency(
    ...     parameters=10, nonzero=8, multiply_adds=9, bytes_on_disk=99, latency_ms=2.0, latency_iqr_ms=0.1,
    ...     latency_best_ms=1.9, throughput=500.0, batch=1, threads=1, repeats=3,
    ... )
    >>> compare(cost, cost).loc["multiply-adds per row"].tolist()
    [9.0, 9.0, 1.0]
    """
    rows = {}
    for field, words in QUANTITIES.items():
        pair = getattr(before, field), getattr(after, field)
        if None not in pair:
            old, new = float(pair[0]), float(pair[1])
            rows[words] = {"before": old, "after": new, "ratio": new / old if old else float("nan")}
    table: pd.DataFrame = pd.DataFrame.from_dict(rows, orient="index", columns=["before", "after", "ratio"])
    return table


def nonzero_count(model: nn.Module) -> int:
    """Trainable numbers that take part: not exactly zero, and not on a masked edge of a KAN.

    Examples
    --------
    >>> layer = KANLayer(2, 1, grid=1, order=1, noise=1.0)
    >>> layer.set_mask(torch.tensor([[1, 0]]))
    >>> nonzero_count(layer)  # three weights of one edge; the bias starts at zero
    3
    """
    masked = {id(m.weight): m.masked_weight() for m in model.modules() if isinstance(m, KANLayer)}
    return sum(int(torch.count_nonzero(masked.get(id(p), p).detach())) for p in model.parameters())


def bytes_on_disk(model: nn.Module) -> int:
    """Size of the state as a safetensors file; tensors that share their memory count once.

    Examples
    --------
    >>> bytes_on_disk(torch.nn.Linear(10, 10)) >= 440
    True
    """
    tensors: dict[str, Tensor] = {}
    seen = set()
    for name, value in model.state_dict().items():
        if isinstance(value, Tensor) and (place := (value.data_ptr(), value.shape, value.stride())) not in seen:
            seen |= {place} if value.numel() else set()
            tensors[name] = value.detach().cpu().contiguous().clone()
    return len(safetensors.torch.save(tensors))


def _example(model: nn.Module, example: Any, batch: int | None) -> Batch:
    if batch is not None:
        _check_whole("batch", batch)
    batches = prepared(model, example)
    rows = batches.sample(batch) if batch is not None else batches.first
    with untouched(model):
        called(model, rows)
    return rows


def _check_whole(what: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputTypeError(f"{what}: expected a whole number, got {type(value).__name__}")
    if value < 1:
        raise InputError(f"{what}: expected at least 1, got {value}")


def _timed(models: Sequence[Callable[..., Any]], rows: Batch, repeats: int) -> list[Array]:
    """Milliseconds per call, ``repeats`` of them for each model, the models taking turns."""
    for model in models:
        for _ in range(WARM_UP):
            rows.call(model)
    calls = [_calls(model, rows) for model in models]
    times = np.zeros((len(models), repeats))
    with _no_collection():
        for turn in range(repeats):
            for shift in range(len(models)):
                which = (turn + shift) % len(models)  # nobody is always the first
                times[which, turn] = _milliseconds(models[which], rows, calls[which])
    return list(times)


def _calls(model: Callable[..., Any], rows: Batch) -> int:
    once = max(_milliseconds(model, rows, 1), 1e-6)
    return min(MOST_CALLS, max(1, math.ceil(LEAST_MS / once)))


def _milliseconds(model: Callable[..., Any], rows: Batch, calls: int) -> float:
    device = rows.inputs[0].device
    _wait(device)
    start = time.perf_counter()
    for _ in range(calls):
        rows.call(model)
    _wait(device)
    return 1e3 * (time.perf_counter() - start) / calls


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def _no_collection() -> Iterator[None]:
    """No garbage collection while the clock runs."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _timed_compiled(models: Sequence[nn.Module], rows: Batch, repeats: int) -> list[Array]:
    try:
        with torch._dynamo.config.patch(cache_size_limit=RECOMPILES):
            return _timed([torch.compile(model, dynamic=False) for model in models], rows, repeats)
    except Exception as error:
        raise StateError(
            f"torch.compile failed ({type(error).__name__}: {str(error)[:200]}); it needs a C++ compiler and a model "
            "it can trace. Measure with compiled=False"
        ) from error


def _efficiency(model: nn.Module, adds: int, times: Array, fast: Array | None, batch: int) -> Efficiency:
    median, spread = _summary(times)
    quick, quick_spread = (None, None) if fast is None else _summary(fast)
    return Efficiency(
        parameters=parameter_count(model),
        nonzero=nonzero_count(model),
        multiply_adds=adds,
        bytes_on_disk=bytes_on_disk(model),
        latency_ms=median,
        latency_iqr_ms=spread,
        latency_best_ms=float(times.min()),
        throughput=1e3 * batch / median,
        batch=batch,
        threads=torch.get_num_threads(),
        repeats=len(times),
        compiled_ms=quick,
        compiled_iqr_ms=quick_spread,
    )


def _summary(times: Array) -> tuple[float, float]:
    low, middle, high = np.quantile(times, [0.25, 0.5, 0.75])
    return float(middle), float(high - low)
