"""`Base`: a module that holds a `KANHead` and the rows it is measured on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from kaninterp.core import Trace
from kaninterp.core.errors import DataError, ShapeError, StateError
from kaninterp.measure import trace
from kaninterp.nn import KANHead
from kaninterp.nn.head import original_ids
from kaninterp.nn.kept_rows import KeepsRows
from kaninterp.nn.kernel import function_transform_active
from kaninterp.nn.undisturbed import measuring

from .spelling import NOT_HERE

__all__ = ["ROWS", "Base"]

ROWS = 5000
"""Rows kept for measuring at most, evenly spaced in their order: a trace of so many takes tens of milliseconds."""


class Base(KeepsRows):
    """A `KANHead`, and the rows that scores, prunes, plots and formulas are measured on.

    These are the training rows of the last `fit`, or of the last ``kaninterp.fit`` of this model or of one it sits in,
    as they reach it after training. A model that was never fitted uses the first batch that its user called it with,
    in train or eval mode; what a measurement runs through it (``kaninterp.trace``, a report, a trial call) is not kept.
    What is run through it afterwards changes nothing; `get_act` sets other rows on purpose. After a training loop of
    one's own, above all of a backbone below, that first batch is of before the training: call ``get_act`` with what the
    KAN reads now, or measure the whole with ``kaninterp.trace(host, data)``.

    Attributes
    ----------
    head : KANHead
        All that is trained; every function of kaninterp takes it.
    seed : int
        Of the initial noise and of the order of rows in `fit`.
    """

    head: KANHead
    seed: int
    _rows: Tensor | None
    _left_out: Any
    _gathered: Gathered | None = None

    def __init__(self, head: KANHead, *, seed: int, rows: Tensor | None = None) -> None:
        super().__init__()
        self.head = head
        self.seed = seed
        self._rows = rows
        self._left_out = None
        self.training = head.training

    @property
    def width(self) -> list[int]:
        """Nodes per layer; the first counts the inputs that are read."""
        return list(self.head.widths)

    @property
    def depth(self) -> int:
        """Number of layers of edges."""
        return len(self.head.layers)

    @property
    def grid(self) -> int:
        """Grid intervals per edge."""
        return self.head.kan_layers[0].grid

    @property
    def k(self) -> int:
        """Spline order."""
        return self.head.kan_layers[0].order

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head.kan_layers[0].weight.device

    @property
    def input_id(self) -> Tensor:
        """Numbers that the inputs that are read have in the data, composed over all prunes, shape (width[0],)."""
        return torch.tensor(original_ids(self.head)[0], dtype=torch.long)

    def __getattr__(self, name: str) -> Any:
        """Say what to do in place of a call of pykan that is not here."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name in NOT_HERE:
                raise AttributeError(f"kaninterp's KAN has no {name}: {NOT_HERE[name]}") from None
            raise

    def traced(self) -> Trace:
        """The model's `Trace` on its rows; made anew each time, so it cannot be of older weights.

        Raises
        ------
        StateError
            The model has seen no data yet.
        """
        return trace(self.head, self._held(), progress=False)

    def _held(self) -> Tensor:
        """The rows it is measured on, in the number type and on the device of the weights."""
        if self._rows is None:
            raise StateError(
                "this model has seen no data to measure on; fit it, or call it with a batch: "
                "model(dataset['train_input'])"
            )
        return self._rows.to(self.head.kan_layers[0].weight)

    def _of(self, head: KANHead) -> Any:
        """A new model with another head and the same rows."""
        new = type(self).__new__(type(self))
        Base.__init__(new, head, seed=self.seed, rows=self._rows)
        return new

    def _become(self, head: KANHead) -> None:
        """Take over what another head computes; parameters stay the same objects where nothing changes its shape."""
        if head.config == self.head.config:
            self.head.load_state_dict(head.state_dict())
        else:
            self.head = head.train(self.head.training)

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Measure on what it is called with in there, at most `ROWS` rows of it, in place of the rows before."""
        self._gathered = gathered = Gathered()
        try:
            yield
            if gathered.parts:
                self._rows = sampled(torch.cat(gathered.parts), self.head)
        finally:
            self._gathered = None

    def _see(self, x: Tensor) -> None:
        """Keep a batch if it is the first one, or if it is asked for."""
        if torch.compiler.is_compiling() or function_transform_active():
            return
        if self._gathered is not None:
            self._gathered.take(finite_rows(x, self.head))
        elif self._rows is None and not measuring():
            rows = sampled(x, self.head)
            self._rows = rows if len(rows) else None


class Gathered:
    """Rows of many batches, thinned evenly as they come: `ROWS` to twice as many if there are more than that."""

    def __init__(self) -> None:
        self.parts: list[Tensor] = []
        self._stride, self._passed = 1, 0

    def take(self, rows: Tensor) -> None:
        """Add every so manieth row, counted over all batches."""
        first = -self._passed % self._stride
        self._passed += len(rows)
        if first < len(rows):
            self.parts.append(rows[first :: self._stride].clone())
        while sum(map(len, self.parts)) > 2 * ROWS:
            self._stride *= 2
            self.parts = [torch.cat(self.parts)[::2]]


def finite_rows(x: Tensor, head: KANHead) -> Tensor:
    """Rows of a batch (..., inputs) without a gap: (rows, inputs)."""
    rows = x.detach().reshape(-1, head.in_features)
    return rows[rows.isfinite().all(1)]


def sampled(x: Tensor, head: KANHead) -> Tensor:
    """At most `ROWS` finite rows of a batch (..., inputs), evenly spaced, as a copy: (rows, inputs)."""
    rows = finite_rows(x, head)
    if len(rows) > ROWS:
        rows = rows[torch.linspace(0, len(rows) - 1, ROWS, dtype=torch.float64).round().long().to(rows.device)]
    return rows.to(head.kan_layers[0].weight.dtype).clone()


def rows_of(x: Any, head: KANHead) -> Tensor:
    """Rows given on purpose.

    Raises
    ------
    ShapeError
        No tensor (..., inputs). DataError: no finite row.
    """
    if isinstance(x, dict) and "train_input" in x:
        x = x["train_input"]
    if not torch.is_tensor(x) or not x.ndim or x.shape[-1] != head.in_features:
        raise ShapeError(
            f"x: got {tuple(x.shape) if torch.is_tensor(x) else type(x).__name__}; expected a tensor "
            f"(rows, {head.in_features})"
        )
    rows = sampled(x, head)
    if not len(rows):
        raise DataError("x has no finite row; nothing can be measured on it")
    return rows
