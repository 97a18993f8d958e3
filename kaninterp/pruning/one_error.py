"""The one-standard-error choice on a path of losses of the same held-out rows, and how often it comes out the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kaninterp.core.frozen import Array, IntArray
from kaninterp.core.survival import SurvivalPath
from kaninterp.measure import BlockBootstrap

__all__ = ["Curve", "path_from"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """What was measured along a path, the point with everything first.

    Attributes
    ----------
    losses : ndarray, shape (rows, P)
        Held-out loss of every row at every point.
    kept : ndarray of int, shape (P,)
        Things left.
    threshold : ndarray, shape (P,)
        Score up to which things went.
    places : ndarray of int, shape (n, d)
        What goes, in order.
    gone : ndarray of int, shape (P,)
        How many of ``places`` are gone at each point.
    """

    losses: Array
    kept: IntArray
    threshold: Array
    places: IntArray
    gone: IntArray


def path_from(
    level: str,
    curve: Curve,
    boot: BlockBootstrap,
    *,
    slack: float = 0.0,
    rivals: Sequence[Array] = (),
    free: bool = True,
) -> SurvivalPath:
    """Mark the best point and the choice.

    The choice is the point with the fewest things whose loss is above that of the best by no more than one standard
    error of this difference (Breiman et al. 1984 take the error of the loss itself; both losses are of the same rows
    here, and their difference is far surer than either of them), or by no more than ``slack``.

    Parameters
    ----------
    level
        "inputs" or "edges".
    curve
        What was measured.
    boot
        Draws of the same rows.
    slack
        Rise of the loss that does not count.
    rivals
        Losses (rows,) of other models that may be the best.
    free
        False: too few rows to choose by; everything stays.
    """
    means = curve.losses.mean(0)
    best = int(np.argmin(means))
    others = [rival for rival in rivals if rival.mean() < means[best]]
    reference = min(others, key=lambda rows: float(rows.mean())) if others else curve.losses[:, best]
    differences = curve.losses - reference[:, None]
    draws = boot.means(differences)
    error = draws.std(0)
    allowed = np.maximum(error, slack)
    rise = differences.mean(0)
    low, high = boot.interval(curve.losses)
    # the reference is the best of these rows, not of every draw: ties with it count as such
    within = draws <= np.minimum(draws.min(1), 0.0)[:, None] + allowed
    chosen = _fewest(rise <= allowed) if free else 0
    drawn = np.where(within.any(1), within.shape[1] - 1 - np.argmax(within[:, ::-1], axis=1), 0)
    lost = curve.gone[drawn] if free else np.zeros(len(draws), np.int64)
    survival = np.array([(lost <= place).mean() for place in range(len(curve.places))])
    return SurvivalPath(
        level=level,
        kept=curve.kept,
        threshold=curve.threshold,
        loss=means,
        low=low,
        high=high,
        rise=rise,
        error=error,
        best=best,
        chosen=chosen,
        places=curve.places,
        survival=survival,
    )


def _fewest(within: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int:
    """Last point that is within; the first one if none is."""
    return int(np.flatnonzero(within)[-1]) if within.any() else 0
