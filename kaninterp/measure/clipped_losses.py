"""Losses of a clipped model against those of the model as it is, and against a reference, with their intervals."""

from __future__ import annotations

import numpy as np

from kaninterp.core.evidence import Estimate
from kaninterp.core.frozen import Array, BoolArray
from kaninterp.measure.bootstrap import BlockBootstrap

__all__ = ["ClippedLosses"]

FEW = 10
"""Rows with, or without, an exit from which their mean loss is given."""


class ClippedLosses:
    """The loss of every row as it is; every clipped variant is held against it with the same draws.

    Parameters
    ----------
    base
        Loss of every row of the data, (rows,).
    boot
        Draws of these rows.
    reference
        Loss of every row of the reference data, and draws of them; None: there are none.

    Attributes
    ----------
    base, reference, rise : Estimate or None
        Mean losses, and how much higher the first is than the second.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> now, before = np.r_[np.zeros(50), np.ones(50)], np.zeros(100)
    >>> losses = ClippedLosses(now, BlockBootstrap(100, 1, rng), (before, BlockBootstrap(100, 1, rng)))
    >>> found = losses.of(np.zeros(100), now > 0)  # clipping repairs the half with an exit
    >>> print(found["taken_back"], found["carried"], found["without_exit"])
    1 [1, 1] 1 [1, 1] 0 [0, 0]
    """

    def __init__(
        self, base: Array, boot: BlockBootstrap, reference: tuple[Array, BlockBootstrap] | None = None
    ) -> None:
        self._rows, self._boot = base, boot
        self._draws = boot.means(base)
        self.base = _estimate(base.mean(), self._draws)
        self.reference: Estimate | None = None
        self.rise: Estimate | None = None
        self._rise: tuple[float, Array] | None = None
        if reference is not None:
            before, usual = reference
            draws = usual.means(before)
            self.reference = _estimate(before.mean(), draws)
            self._rise = float(base.mean() - before.mean()), self._draws - draws
            self.rise = _estimate(*self._rise)

    def of(self, clipped: Array, exits: BoolArray) -> dict[str, Estimate | None]:
        """Fields of a `ClippedPart`, for the loss (rows,) with values clipped, and the rows that have an exit."""
        loss, cost = self._boot.means(clipped), self._boot.means(self._rows - clipped)
        without, without_draws = self._mean_on(~exits)
        with_exit, with_draws = self._mean_on(exits)
        enough = int((~exits).sum()) >= FEW
        comparable = enough and int(exits.sum()) >= FEW
        excess = self.base.value - without, self._draws - without_draws
        return {
            "loss": _estimate(clipped.mean(), loss),
            "cost": _estimate((self._rows - clipped).mean(), cost),
            "with_exit": _estimate(with_exit, with_draws) if int(exits.sum()) >= FEW else None,
            "without_exit": _estimate(without, without_draws) if enough else None,
            "taken_back": self._share((self._rows - clipped).mean(), cost),
            "carried": self._share(*excess) if comparable else None,
        }

    def _mean_on(self, rows: BoolArray) -> tuple[float, Array]:
        """Mean loss on some rows; NaN in draws that hold none of them."""
        sums = self._boot.means(np.stack([self._rows * rows, rows.astype(np.float64)], axis=1))
        draws = np.divide(sums[:, 0], sums[:, 1], out=np.full(len(sums), np.nan), where=sums[:, 1] > 0)
        return float(self._rows[rows].mean()) if rows.any() else float("nan"), draws

    def _share(self, part: float, draws: Array) -> Estimate | None:
        """A part of the rise; None where the loss did not rise."""
        if self._rise is None or self.rise is None or self.rise.low <= 0:
            return None
        rise, rises = self._rise
        shares = np.divide(draws, rises, out=np.full(len(draws), np.nan), where=rises > 0)
        return _estimate(part / rise, shares)


def _estimate(value: float, draws: Array) -> Estimate:
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return Estimate(value=float(value), low=float(low), high=float(high))
