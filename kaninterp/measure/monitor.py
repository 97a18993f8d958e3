"""`RangeMonitor`: watch a model at work for inputs that leave the grids of its KAN."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from itertools import count
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kaninterp.adapters import as_view
from kaninterp.core.errors import InputError, ModelError
from kaninterp.core.range_card import RangeCard
from kaninterp.core.watch import RangeWatch, WatchedLayer
from kaninterp.measure.outside import OutsideCounts
from kaninterp.measure.tracing import card_of

__all__ = ["RangeMonitor"]

BUFFER = 16384
"""Rows kept per layer before they are counted in one go: a forward pass pays for a copy, not for the counting."""

Callback = Callable[[RangeWatch], object]


class RangeMonitor:
    """Count, while a model runs, how often each KAN layer is given values outside its domain.

    Parameters
    ----------
    model : nn.Module
        With a `KANHead` inside. Hooks are added to the layers of the head, and nothing else is changed.
    card : RangeCard or path
        Of this model, made from the data it was trained on (`range_card`).
    path : str, optional
        Where the KAN sits, if the model has several.
    window : int, optional
        Rows after which counts move to `last` and begin anew, at the end of the batch that completes them. None: they
        go on until `reset`.
    callback : callable, optional
        Called with the counts of each full window, in the thread that ran the model.
    every : int
        Count one forward pass of so many, the first of them. The shares of rows stay the same on average, and passes
        that are not counted cost next to nothing.

    Raises
    ------
    ShapeError
        The card is of another model.
    ModelError
        The KAN is of a family whose layers cannot be watched.
    InputError, InputTypeError, MissingFileError, FileFormatError
        Something that is no card; a window that is no positive whole number, a callback without a window.

    Attributes
    ----------
    last : RangeWatch or None
        The last full window.
    failure : Exception or None
        The last error of the callback, after which counting goes on, or of the counting itself, after which it stops.
        The forward pass never sees either.

    Notes
    -----
    Every forward pass counts, in training and eval mode, from any thread: passes of `trace`, and the second one of an
    activation checkpoint, too; those of the callback do not. Rows wait in a buffer of up to 16,384 before they are
    counted. A copy of the model is not watched, and domains are those of the card: after `head.update()` make a new
    one. `close` the monitor before you pickle the model. In several processes each has a monitor of its own, and
    `RangeWatch.merge` puts their counts together.

    Examples
    --------
    >>> import kaninterp as ki
    >>> head = ki.KANHead(2, 1, domain=(-1, 1))
    >>> card = ki.range_card(head, torch.zeros(10, 2), feature_names=["wind", "rain"])
    >>> with RangeMonitor(head, card) as monitor:
    ...     _ = head(torch.tensor([[0.0, 0.5], [0.0, 3.0]]))
    >>> print(monitor.seen.exits(card)[0])
    rain: 50.0% of rows outside -1 to 1 (mostly above), 0.0% on the data of the card; seen 0.5 to 3
    """

    def __init__(
        self,
        model: nn.Module,
        card: RangeCard | str | os.PathLike[str],
        *,
        path: str | None = None,
        window: int | None = None,
        callback: Callback | None = None,
        every: int = 1,
    ) -> None:
        card = RangeCard.given(card)
        for name, value in (("window", window), ("every", every)):
            if value is not None and not _positive(value):
                raise InputError(f"{name}: expected a positive whole number, got {value!r}")
        if callback is not None and window is None:
            raise InputError("callback: it is called at the end of a window; give window= as well")
        view = as_view(model, path)
        card_of(model, view).check_reference(card.card)
        modules = [layer.module for layer in view.layers]
        if any(module is None for module in modules):
            raise ModelError(f"the layers of {type(view.module).__name__} cannot be watched; allowed: a KANHead")
        self.last: RangeWatch | None = None
        self.failure: Exception | None = None
        self._fingerprint, self._window, self._callback = card.card.fingerprint, window, callback
        self._every = every
        self._lock = threading.RLock()
        self._counters = [_Counter(layer.ranges.knots[:, [0, -1]]) for layer in card.layers]
        self._stopped = False
        self._passes, self._local = count(), threading.local()
        me = weakref.ref(self)
        self._handles = [
            module.register_forward_pre_hook(_hook(me, depth, weakref.ref(module)))
            for depth, module in enumerate(modules)
            if module is not None
        ]
        weakref.finalize(self, _remove, self._handles)

    @property
    def seen(self) -> RangeWatch:
        """Counts since the beginning, the last reset, or the last full window."""
        with self._lock:
            return RangeWatch(
                fingerprint=self._fingerprint, layers=tuple(counter.counted() for counter in self._counters)
            )

    def reset(self) -> RangeWatch:
        """Begin anew; what was seen before is returned."""
        with self._lock:
            before = self.seen
            for counter in self._counters:
                counter.clear()
            return before

    def close(self) -> None:
        """Take the hooks off the model; the counts stay."""
        _remove(self._handles)

    def __enter__(self) -> RangeMonitor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        failure = f", failed: {self.failure!r}" if self.failure is not None else ""
        return f"RangeMonitor({self.seen!r}{failure})"

    def _note(self, depth: int, x: Tensor) -> None:
        """Remember the input of one layer; with that of the last one, count the pass: all of its layers or none.

        Passes of other threads are told apart; those of a callback do not count.
        """
        local = self._local
        if not depth:
            local.inputs = None if self._stopped or next(self._passes) % self._every else []
        inputs: list[Tensor] | None = getattr(local, "inputs", None)
        if inputs is None or len(inputs) != depth or getattr(local, "busy", False):
            return
        inputs.append(x)
        if len(inputs) < len(self._counters):
            return
        local.inputs, full = None, None
        with self._lock:
            for counter, values in zip(self._counters, inputs, strict=True):
                counter.take(values)
            if self._window is not None and self._counters[0].rows >= self._window:
                self.last = full = self.reset()
        if full is not None and self._callback is not None:
            self._call_back(self._callback, full)

    def _call_back(self, callback: Callback, full: RangeWatch) -> None:
        self._local.busy = True
        try:
            callback(full)
        except Exception as error:  # the counting goes on
            self.failure = error
        finally:
            self._local.busy = False

    def _fail(self, error: Exception) -> None:
        self.failure, self._stopped = error, True


def _hook(
    monitor: weakref.ref[RangeMonitor], depth: int, watched: weakref.ref[nn.Module]
) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    """A hook that keeps neither the monitor nor the model alive."""

    def note(module: nn.Module, args: tuple[Any, ...]) -> None:
        found = monitor()
        if found is None or module is not watched():  # a copy of the model has copies of its hooks
            return
        try:
            found._note(depth, args[0])
        except Exception as error:  # kept, and shown by repr: a monitor must not stop what it watches
            found._fail(error)

    return note


def _remove(handles: list[Any]) -> None:
    for handle in handles:
        handle.remove()


def _positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


class _Counter:
    """Counts of one layer, and rows that wait to be counted; called under the monitor's lock.

    Rows wait in one block of memory that is used again and again: a copy into it takes a microsecond, while keeping
    batches would take new memory in every forward pass, which costs twenty.
    """

    def __init__(self, domain: np.ndarray[Any, np.dtype[np.float64]]) -> None:
        self._domain = torch.as_tensor(np.ascontiguousarray(domain.T))
        self._block: Tensor | None = None
        self.clear()

    @property
    def rows(self) -> int:
        """Rows so far, those that wait included."""
        return self._counts.rows + self._waiting

    def clear(self) -> None:
        """Forget everything."""
        self._waiting = 0
        self._counts = OutsideCounts(self._domain)

    def take(self, x: Tensor) -> None:
        """Copy a batch: what comes next may change it in place."""
        rows = x.detach() if x.requires_grad else x
        if rows.dim() != 2:
            rows = rows.reshape(-1, rows.shape[-1])
        more = rows.shape[0]
        if self._waiting + more > BUFFER:
            self._count()
        block = self._block
        if block is None or block.dtype != x.dtype or block.device != x.device or more > BUFFER:
            block = self._made_for(rows)
        block.narrow(0, self._waiting, more).copy_(rows)
        self._waiting += more

    def counted(self) -> WatchedLayer:
        """Everything so far, what waits included."""
        self._count()
        return self._counts.layer()

    def _count(self) -> None:
        if self._waiting and self._block is not None:
            with torch.no_grad():
                self._counts.add(self._block[: self._waiting].cpu())
            self._waiting = 0

    def _made_for(self, rows: Tensor) -> Tensor:
        """A block for rows of another kind, or for more of them at once than ever."""
        self._count()
        with torch.inference_mode(False):  # a block made in that mode could not be written to outside it
            self._block = rows.new_empty(max(BUFFER, rows.shape[0]), rows.shape[1])
        return self._block
