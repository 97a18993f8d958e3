"""`RangeMonitor`: watch a model at work for inputs that leave the grids of its KAN."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from itertools import count
from types import TracebackType
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from kaninterp.adapters import as_view
from kaninterp.core.errors import InputError, ModelError
from kaninterp.core.range_card import RangeCard
from kaninterp.core.watch import RangeWatch
from kaninterp.measure.tracing import card_of
from kaninterp.measure.waiting import WaitingCounts

__all__ = ["RangeMonitor"]

Callback = Callable[[RangeWatch], object]
Hook = Callable[[nn.Module, tuple[Any, ...]], None]


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
        Counted rows after which counts move to `last` and begin anew, at the end of the batch that completes them.
        None: they go on until `reset`.
    callback : callable, optional
        Called with the counts of each full window, in the thread that ran the model.
    every : int
        Count one forward pass of so many, the first of them; 1: all. Shares of rows stay the same on average, unless
        the passes themselves come in turns of that length.

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
        The last error of the callback or of the counting. The forward pass never sees it, and counting goes on.
    skipped : int
        Passes that could not be counted, under `torch.func.vmap` for example.

    Notes
    -----
    Forward passes count in training and eval mode, from any thread: those of `trace`, and the second one of a
    checkpoint, too; those of the callback do not. Up to 8,192 rows wait before they are counted. A
    copy of the model is not watched, and domains are those of the card: after `head.update()` make a new one. `close`
    the monitor before you pickle the model. In several processes each has a monitor of its own, and
    `RangeWatch.merge` puts their counts together.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> head = ki.KANHead(2, 1, domain=(-1, 1))
    >>> card = ki.range_card(head, torch.zeros(10, 2), feature_names=["wind", "rain"])
    >>> with RangeMonitor(head, card) as monitor:
    ...     _ = head(torch.tensor([[0.0, 0.5], [0.0, 3.0]]))
    >>> print(monitor.seen.exits(card)[0])
    rain: 50 % of rows outside −1 to 1 (mostly above), 0 % on the data of the card; seen 0.5 to 3
    """

    def __init__(
        self,
        model: nn.Module,
        card: RangeCard | str | os.PathLike[str],
        *,
        path: str | None = None,
        window: int | None = None,
        callback: Callback | None = None,
        every: int = 8,
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
            raise ModelError(
                f"the layers of {view.kind} cannot be watched: their views name no module for a hook; "
                "allowed: a KANHead, and views with `module`, the layer that is called"
            )
        self.last: RangeWatch | None = None
        self.failure: Exception | None = None
        self._fingerprint, self._window, self._callback = card.card.fingerprint, window, callback
        self.skipped = 0
        self._lock = threading.RLock()
        self._counts = WaitingCounts([layer.ranges.knots[:, [0, -1]] for layer in card.layers])
        self._threads = _Passes()
        self._handles = _watch(
            weakref.ref(self), self._threads, every, [module for module in modules if module is not None]
        )
        weakref.finalize(self, _remove, self._handles)

    @property
    def seen(self) -> RangeWatch:
        """Counts since the beginning, the last reset, or the last full window."""
        with self._lock:
            return RangeWatch(fingerprint=self._fingerprint, layers=self._counts.layers())

    def reset(self) -> RangeWatch:
        """Begin anew; what was seen before is returned."""
        with self._lock:
            before = self.seen
            self._counts.clear()
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

    def _take(self, inputs: list[Tensor]) -> None:
        """Count the inputs of all layers in one pass, unless a callback runs the model."""
        if self._threads.thread.key in self._threads.busy:
            return
        full = None
        with self._lock:
            try:
                self._counts.take(inputs)
                if self._window is not None and self._counts.rows >= self._window:
                    self.last = full = self.reset()
            except Exception as error:  # kept, and shown by repr: a monitor must not stop what it watches
                self.failure, self.skipped = error, self.skipped + 1
        if full is not None and self._callback is not None:
            self._call_back(self._callback, full)

    def _call_back(self, callback: Callback, full: RangeWatch) -> None:
        self._threads.busy.add(self._threads.thread.key)
        try:
            callback(full)
        except Exception as error:  # the counting goes on
            self.failure = error
        finally:
            self._threads.busy.discard(self._threads.thread.key)


class _Thread(threading.local):
    """Something that every thread has for itself; `threading.get_ident` would end the graphs of torch.compile aloud."""

    def __init__(self) -> None:
        self.key = object()


class _Passes:
    """Passes that are under way, by thread, and threads that are in a callback."""

    __slots__ = ("busy", "pending", "thread")

    def __init__(self) -> None:
        self.pending: dict[object, list[Tensor]] = {}
        self.busy: set[object] = set()
        self.thread = _Thread()


def _watch(
    monitor: weakref.ref[RangeMonitor], passes: _Passes, every: int, layers: list[nn.Module]
) -> list[RemovableHandle]:
    """Put a hook on every layer: they remember what they are given, and the last one hands over the pass as a whole.

    None of them keeps the monitor or the model alive. Where a pass is not to be counted they look at a number and at
    an empty dict: in the middle of a forward pass nothing of Python is in the cache, so that every line is felt.
    """
    last = len(layers) - 1
    first_hook, last_hook = _first_hook(passes, every, layers[0]), _last_hook(monitor, passes, last, layers[last])
    hooks = [_only_hook(first_hook, last_hook)]
    if last:
        hooks = [first_hook, *(_next_hook(passes, depth) for depth in range(1, last)), last_hook]
    return [layer.register_forward_pre_hook(hook) for layer, hook in zip(layers, hooks, strict=True)]


def _first_hook(passes: _Passes, every: int, layer: nn.Module) -> Hook:
    watched, numbers, pending, thread = weakref.ref(layer), count(), passes.pending, passes.thread

    def note(module: nn.Module, args: tuple[Any, ...]) -> None:
        if module is not watched():  # a copy of the model has copies of its hooks
            return
        if not next(numbers) % every:  # one step of a counter: threads need no lock for it
            pending[thread.key] = [*args]
        elif pending:  # a pass of this thread that failed on its way
            pending.pop(thread.key, None)

    return note


def _next_hook(passes: _Passes, depth: int) -> Hook:
    pending, thread = passes.pending, passes.thread

    def note(module: nn.Module, args: tuple[Any, ...]) -> None:
        del module
        inputs = pending.get(thread.key) if pending else None
        if inputs is not None and len(inputs) == depth:
            inputs += args

    return note


def _last_hook(monitor: weakref.ref[RangeMonitor], passes: _Passes, depth: int, layer: nn.Module) -> Hook:
    watched, pending, thread = weakref.ref(layer), passes.pending, passes.thread

    def note(module: nn.Module, args: tuple[Any, ...]) -> None:
        if not pending or module is not watched():
            return
        inputs, found = pending.pop(thread.key, None), monitor()
        if inputs is None or found is None:
            return
        inputs += args
        if len(inputs) == depth + 1:  # all layers of one pass
            found._take(inputs)

    return note


def _only_hook(first: Hook, last: Hook) -> Hook:
    """Both in one, for a single layer."""

    def note(module: nn.Module, args: tuple[Any, ...]) -> None:
        first(module, args)
        last(module, ())

    return note


def _remove(handles: list[RemovableHandle]) -> None:
    for handle in handles:
        handle.remove()


def _positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
