"""A short formula for a node in a few columns: constant, lines, squares and products, as few terms as do."""

from __future__ import annotations

import numpy as np

from kaninterp.core.frozen import Array
from kaninterp.measure.smooth import explained, fitted

__all__ = ["short_formula"]

LOSS = 0.02
"""R2 by which a formula may stay below the curves."""

NEEDLESS = 0.003
"""R2 by which a term must better the formula to stay in it."""

MOST_TERMS = 3
"""Terms beside the constant; a longer formula is none to be read."""


def short_formula(
    names: list[str], fit_on: tuple[Array, Array], judge_by: tuple[Array, Array], wanted: float
) -> tuple[str, float]:
    """Find a formula that explains almost as much as ``wanted``.

    Parameters
    ----------
    names : list of str
        What to call each column.
    fit_on, judge_by : (ndarray, shape (n, m); ndarray, shape (n,))
        Columns and node, rows to fit on and later rows to judge by.
    wanted : float
        R2 of the curves on the latter.

    Returns
    -------
    str
        "" if none of at most `MOST_TERMS` terms comes within `LOSS` of it.
    float
        Its R2; NaN without one.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(400, 2))
    >>> y = 1 + 2 * x[:, 0] - x[:, 1] ** 2
    >>> short_formula(["wind", "rain"], (x[:200], y[:200]), (x[200:], y[200:]), 1.0)[0]
    '1 + 2·wind − 1·rain²'
    """
    terms = _terms(len(names))
    alive = list(range(len(terms)))
    while True:
        best = _r2(terms, alive, fit_on, judge_by)
        drops = [(best - _r2(terms, [t for t in alive if t != gone], fit_on, judge_by), gone) for gone in alive]
        drop, weakest = min(drops, default=(1.0, -1))
        if len(alive) <= 1 or drop > NEEDLESS:
            break
        alive.remove(weakest)
    if len(alive) > MOST_TERMS or best < wanted - LOSS:
        return "", float("nan")
    return _written(names, [terms[t] for t in alive], *fit_on), best


def _terms(count: int) -> list[tuple[int, ...]]:
    """Columns that are multiplied in each term."""
    lines: list[tuple[int, ...]] = [(i,) for i in range(count)]
    return [*lines, *((i, i) for i in range(count)), *((i, k) for i in range(count) for k in range(i + 1, count))]


def _design(x: Array, terms: list[tuple[int, ...]]) -> Array:
    return np.stack([np.prod(x[:, list(term)], axis=1) for term in terms], axis=1) if terms else np.zeros((len(x), 0))


def _r2(
    terms: list[tuple[int, ...]], alive: list[int], fit_on: tuple[Array, Array], judge_by: tuple[Array, Array]
) -> float:
    chosen = [terms[t] for t in alive]
    design = _design(fit_on[0], chosen)
    size = design.std(0) + (design.std(0) == 0)
    fit = fitted(design / size, fit_on[1], ridge=1e-9)
    return explained(fit, _design(judge_by[0], chosen) / size, judge_by[1])


def _written(names: list[str], terms: list[tuple[int, ...]], x: Array, y: Array) -> str:
    design = _design(x, terms)
    size = design.std(0) + (design.std(0) == 0)
    fit = fitted(design / size, y, ridge=1e-9)
    slopes = fit.coefficients / size
    constant = fit.constant - float(fit.centre @ fit.coefficients)
    parts = [] if abs(constant) < 1e-3 * float(y.std()) else [f"{constant:.3g}".replace("-", "−")]
    for slope, term in zip(slopes, terms, strict=True):
        what = f"{names[term[0]]}²" if len(term) == 2 and term[0] == term[1] else "·".join(names[i] for i in term)
        sign = "−" if slope < 0 else "+"
        size_of = f"{abs(float(slope)):.3g}·{what}"
        parts.append(f"{sign} {size_of}" if parts else f"{'−' if slope < 0 else ''}{size_of}")
    return " ".join(parts)
