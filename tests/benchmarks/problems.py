"""Problems whose relevant inputs are known, and how well a selection finds them (numpy only, deterministic).

Two sizes. "standard": many rows, little noise. "hard": tables of 500 rows and 40 columns (copies: 12) whose noise
has half the variance of the signal; CORRAL with 125 rows. Sequences have the standard size only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Problem:
    """Data and truth.

    `keep` must survive and `drop` must not; of every group at least one must survive. Whatever is in none of them
    is not scored.
    """

    X: Array
    y: Array
    keep: frozenset[int]
    drop: frozenset[int]
    groups: tuple[frozenset[int], ...] = ()


class Score(NamedTuple):
    """F1 over the inputs and groups to be found; false positives and misses are counts."""

    f1: float
    false: int
    missed: int


def score(problem: Problem, kept) -> Score:
    """Hold a selection against the truth; one hit per input of `keep` and per group."""
    kept = frozenset(int(i) for i in kept)
    wanted = [frozenset({i}) for i in problem.keep] + list(problem.groups)
    hits = sum(bool(kept & unit) for unit in wanted)
    false = len(kept & problem.drop)
    return Score(2 * hits / (len(wanted) + hits + false), false, len(wanted) - hits)


def noisy(rng: np.random.Generator, signal: Array, ratio: float) -> Array:
    """Add normal noise whose variance is the signal's over `ratio`."""
    return signal + rng.normal(size=signal.shape) * np.sqrt(signal.var() / ratio)


def table(seed: int, rows: int, columns: int, low: float, high: float) -> tuple[np.random.Generator, Array]:
    rng = np.random.default_rng(seed)
    return rng, rng.uniform(low, high, size=(rows, columns))


def of_columns(X: Array, y: Array, keep: int) -> Problem:
    return Problem(X, y, frozenset(range(keep)), frozenset(range(keep, X.shape[-1])))


def ladder(seed: int, *, hard: bool = False) -> Problem:
    """P01: line, parabola, sine, step, exponential and fast cosine, each with half the variance of the one before."""
    rng, X = table(seed, *((500, 40) if hard else (2000, 20)), -1.0, 1.0)
    mean, square = np.sinh(1.0), np.sinh(2.0) / 2
    curves = (
        3**0.5 * X[:, 0],
        5**0.5 * (1.5 * X[:, 1] ** 2 - 0.5),
        2**0.5 * np.sin(np.pi * X[:, 2]),
        np.sign(X[:, 3]),
        (np.exp(X[:, 4]) - mean) / (square - mean**2) ** 0.5,
        2**0.5 * np.cos(2 * np.pi * X[:, 5]),
    )
    signal = sum(0.5 ** (i / 2) * curve for i, curve in enumerate(curves))
    return of_columns(X, noisy(rng, signal, 2 if hard else 9), 6)


def friedman(seed: int, *, hard: bool = False) -> Problem:
    """P02: Friedman's first function (1991), a sine of a product, a parabola and two lines."""
    rng, X = table(seed, *((500, 40) if hard else (2000, 20)), 0.0, 1.0)
    a, b, c, d, e = X[:, :5].T
    signal = 10 * np.sin(np.pi * a * b) + 20 * (c - 0.5) ** 2 + 10 * d + 5 * e
    y = noisy(rng, signal, 2) if hard else signal + rng.normal(size=len(X))
    return of_columns(X, y, 5)


def ishigami(seed: int, *, hard: bool = False) -> Problem:
    """P04: Ishigami and Homma 1990; the third input acts only through a product with the first."""
    rng, X = table(seed, *((500, 40) if hard else (3000, 10)), -np.pi, np.pi)
    signal = np.sin(X[:, 0]) * (1 + 0.1 * X[:, 2] ** 4) + 7 * np.sin(X[:, 1]) ** 2
    return of_columns(X, noisy(rng, signal, 2 if hard else 19), 3)


def products(seed: int, *, hard: bool = False) -> Problem:
    """P06: two products of variance 4 to 1; no input does anything alone."""
    rng, X = table(seed, *((500, 40) if hard else (3000, 10)), -1.0, 1.0)
    signal = 3 * X[:, 0] * X[:, 1] + 1.5 * X[:, 2] * X[:, 3]
    return of_columns(X, noisy(rng, signal, 2 if hard else 19), 4)


def copies(seed: int, *, hard: bool = False) -> Problem:
    """P09: three relevant inputs; 4, 5 and 6 are the first again (exact, reversed, blurred), 7 is the sum of two."""
    rng, Z = table(seed, 500 if hard else 2000, 4, -1.0, 1.0)
    y = noisy(rng, 2 * Z[:, 0] + np.sin(np.pi * Z[:, 1]) + Z[:, 2] ** 2, 2 if hard else 19)
    blurred = Z[:, 0] + 0.05 * rng.normal(size=len(Z))
    others = rng.uniform(-1, 1, size=(len(Z), 4))
    X = np.column_stack([Z, Z[:, 0], 3 - 2 * Z[:, 0], blurred, Z[:, 1] + Z[:, 2], others])
    groups = (frozenset({0, 4, 5, 6}), frozenset({1, 7}), frozenset({2, 7}))
    return Problem(X, y, frozenset(), frozenset({3, 8, 9, 10, 11}), groups)


def corral(seed: int, *, hard: bool = False) -> Problem:
    """C01: (a & b) | (c & d) of random bits, one bit of noise, one that equals the target three times out of four."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, size=(125 if hard else 512, 5))
    y = (bits[:, 0] & bits[:, 1]) | (bits[:, 2] & bits[:, 3])
    alike = np.where(rng.uniform(size=len(y)) < 0.75, y, 1 - y)
    return of_columns(np.column_stack([bits, alike]).astype(float), y.astype(float), 4)


def windows(series: Array, length: int, rows: int) -> Array:
    """The last `rows` windows (rows, length, inputs); lag 0 is the last step."""
    return np.lib.stride_tricks.sliding_window_view(series, length, axis=0).transpose(0, 2, 1)[-rows:]


def lags(seed: int, *, rows: int = 3000, length: int = 16) -> Problem:
    """T01: a line at lag 1, a sine at lag 3, a square at lag 7 of white inputs 0 to 2; 3 is a copy of 0.

    The rest are distractors: input 0 too late, two slow autoregressions, a sine of period 24, white noise.
    """
    rng = np.random.default_rng(seed)
    steps = rows + length + 8
    u = rng.normal(size=(steps, 12))
    u[:, 3] = u[:, 0]
    u[2:, 4] = u[:-2, 0]
    for slow in (5, 6):
        news = rng.normal(size=steps) * (1 - 0.95**2) ** 0.5
        for t in range(1, steps):
            u[t, slow] = 0.95 * u[t - 1, slow] + news[t]
    u[:, 7] = 2**0.5 * np.sin(2 * np.pi * np.arange(steps) / 24 + rng.uniform(0, 6))
    X = windows(u, length, rows)
    sine = (2 / (1 - np.exp(-2))) ** 0.5 * np.sin(X[:, -4, 1])
    signal = X[:, -2, 0] + 0.7 * sine + 0.5 * (X[:, -8, 2] ** 2 - 1) / 2**0.5
    return Problem(X, noisy(rng, signal, 9), frozenset({1, 2}), frozenset(range(4, 12)), (frozenset({0, 3}),))


def memory(seed: int, *, rows: int = 4000, length: int = 32) -> Problem:
    """T04: a leaky integrator of one input, seven others are noise."""
    rng = np.random.default_rng(seed)
    X = windows(rng.normal(size=(rows + length, 8)), length, rows)
    return of_columns(X, noisy(rng, X[:, :, 0] @ 0.8 ** np.arange(length)[::-1], 19), 1)


def early(seed: int, *, rows: int = 2000, length: int = 12) -> Problem:
    """T06: the part before its drift, a line at lag 1 and a tanh at lag 2; the target has hardly any noise."""
    rng = np.random.default_rng(seed)
    X = windows(rng.uniform(-1, 1, size=(rows + length, 6)), length, rows)
    return of_columns(X, X[:, -2, 0] + np.tanh(X[:, -3, 1]) + 0.05 * rng.normal(size=rows), 2)


TABLES: dict[str, Callable[..., Problem]] = {
    "P01": ladder,
    "P02": friedman,
    "P04": ishigami,
    "P06": products,
    "P09": copies,
    "C01": corral,
}
SEQUENCES: dict[str, Callable[..., Problem]] = {"T01": lags, "T04": memory, "T06": early}
