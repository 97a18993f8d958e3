"""One search for a model: forward, then without what is needless; repeatable without some of the inputs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kaninterp.core.frozen import Array, IntArray

from .candidates import Model
from .expansion import Expansion
from .forward import forward, left_over, without_needless
from .functions import SmoothFunctions
from .null import Null, moved
from .swap import Fitted, unexplained

__all__ = ["MOVES", "Search"]

MOVES = 60
"""Searches under no effect, per family and time it is asked: the law fitted to them has two parameters."""


class Search:
    """Everything repeated searches share: functions of the features, orders of the rows, null distributions.

    Parameters
    ----------
    x : ndarray, shape (n, features)
        Finite.
    y : ndarray, shape (n,)
        Target.
    owners : ndarray of int, shape (features,)
        The input each feature belongs to: itself, or the column of a lag.
    alpha : float
        Family-wise error.
    in_time : bool
        Whether the rows are in the order of time.
    rng
        Of the null distributions.
    tick
        Called before every search.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.uniform(-1, 1, (300, 4))
    >>> search = Search(x, x[:, 0] * x[:, 2], np.arange(4), alpha=0.05, in_time=False, rng=rng)
    >>> sorted(search(frozenset()).kept)
    [0, 2]
    """

    def __init__(
        self,
        x: Array,
        y: Array,
        owners: IntArray,
        *,
        alpha: float,
        in_time: bool,
        rng: np.random.Generator,
        tick: Callable[[], object] = lambda: None,
    ) -> None:
        self.x = x
        self.y = y - y.mean()
        self.owners = owners
        self.alpha = alpha
        self._functions = tuple(SmoothFunctions.of(column) for column in x.T)
        self._values = [made(column) for made, column in zip(self._functions, x.T, strict=True)]
        self._moves = moved(len(y), MOVES, rng, in_time=in_time)
        self._nulls: dict[str, Null] = {}
        self._tick = tick

    def __call__(self, banned: frozenset[int]) -> Fitted:
        """Search without some inputs."""
        self._tick()
        values = [v[:, :0] if int(o) in banned else v for v, o in zip(self._values, self.owners, strict=True)]
        model = Model(values, len(self.y))
        steps = forward(model, self.y, alpha=self.alpha, moves=self._moves, nulls=self._nulls)
        columns = np.array(model.columns).T.reshape(len(self.y), -1)
        readers = [frozenset(int(self.owners[feature]) for feature, _ in term) for term in model.terms]
        units = len(np.unique(self.owners))
        kept, needless = without_needless(columns, self.y, readers, alpha=self.alpha, units=units)
        columns = columns[:, kept]
        left, _ = left_over(columns, self.y)
        return Fitted(
            expansion=Expansion(self._functions, tuple(model.terms[t] for t in kept)),
            readers=tuple(readers[t] for t in kept),
            steps=steps,
            needless=needless,
            explained=1 - left / float(self.y @ self.y),
            unexplained=unexplained(self.y, columns),
        )
