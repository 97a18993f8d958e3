"""Thirty equations of the Feynman Symbolic Regression Database (Udrescu and Tegmark 2020), ranges as given there."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

__all__ = ["EQUATIONS", "Equation"]


class Equation(NamedTuple):
    """Name in the database, f of columns, (low, high) of each, and the shapes of KANs that are tried for it."""

    name: str
    function: Callable[..., np.ndarray]
    ranges: tuple[tuple[float, float], ...]

    def rows(self, n: int, seed: int, wider: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Uniform rows and values; ``wider`` is the share of the range that is added at its upper end."""
        low, high = np.array(self.ranges, dtype=float).T
        x = np.random.default_rng(seed).uniform(low, high + wider * (high - low), (n, len(low)))
        return x, self.function(*x.T)


def _same(n: int, low: float, high: float) -> tuple[tuple[float, float], ...]:
    return ((low, high),) * n


PI = np.pi
EQUATIONS = (
    Equation("I.6.20a", lambda t: np.exp(-(t**2) / 2) / np.sqrt(2 * PI), _same(1, 1, 3)),
    Equation("I.6.20", lambda s, t: np.exp(-((t / s) ** 2) / 2) / (np.sqrt(2 * PI) * s), _same(2, 1, 3)),
    Equation("I.8.14", lambda a, b, c, d: np.sqrt((b - a) ** 2 + (d - c) ** 2), _same(4, 1, 5)),
    Equation("I.12.1", lambda m, n: m * n, _same(2, 1, 5)),
    Equation("I.12.2", lambda p, q, e, r: p * q / (4 * PI * e * r**2), _same(4, 1, 5)),
    Equation("I.12.4", lambda q, e, r: q / (4 * PI * e * r**2), _same(3, 1, 5)),
    Equation("I.12.5", lambda q, e: q * e, _same(2, 1, 5)),
    Equation("I.14.3", lambda m, g, z: m * g * z, _same(3, 1, 5)),
    Equation("I.14.4", lambda k, x: k * x**2 / 2, _same(2, 1, 5)),
    Equation("I.16.6", lambda c, v, u: (u + v) / (1 + u * v / c**2), _same(3, 1, 5)),
    Equation("I.18.12", lambda r, f, t: r * f * np.sin(t), ((1, 5), (1, 5), (0, 5))),
    Equation("I.25.13", lambda q, c: q / c, _same(2, 1, 5)),
    Equation("I.27.6", lambda d, e, n: 1 / (1 / d + n / e), _same(3, 1, 5)),
    Equation("I.29.4", lambda w, c: w / c, _same(2, 1, 10)),
    Equation("I.34.27", lambda w, h: h * w / (2 * PI), _same(2, 1, 5)),
    Equation("I.37.4", lambda i, j, d: i + j + 2 * np.sqrt(i * j) * np.cos(d), _same(3, 1, 5)),
    Equation("I.39.1", lambda p, v: 1.5 * p * v, _same(2, 1, 5)),
    Equation("I.43.16", lambda m, q, v, d: m * q * v / d, _same(4, 1, 5)),
    Equation("I.47.23", lambda g, p, r: np.sqrt(g * p / r), _same(3, 1, 5)),
    Equation("II.2.42", lambda k, t, s, a, d: k * (t - s) * a / d, _same(5, 1, 5)),
    Equation("II.3.24", lambda p, r: p / (4 * PI * r**2), _same(2, 1, 5)),
    Equation("II.8.31", lambda e, f: e * f**2 / 2, _same(2, 1, 5)),
    Equation("II.10.9", lambda s, e, c: s / e / (1 + c), _same(3, 1, 5)),
    Equation("II.11.28", lambda n, a: 1 + n * a / (1 - n * a / 3), _same(2, 0, 1)),
    Equation("II.27.18", lambda e, f: e * f**2, _same(2, 1, 5)),
    Equation("II.34.11", lambda g, q, b, m: g * q * b / (2 * m), _same(4, 1, 5)),
    Equation("II.38.3", lambda y, a, x, d: y * a * x / d, _same(4, 1, 5)),
    Equation("II.38.14", lambda y, s: y / (2 * (1 + s)), _same(2, 1, 5)),
    Equation("III.12.43", lambda n, h: n * h / (2 * PI), _same(2, 1, 5)),
    Equation("III.17.37", lambda b, a, t: b * (1 + a * np.cos(t)), _same(3, 1, 5)),
)
"""Chosen before anything was tried: few factors; sums, products, quotients, roots, waves and exponentials."""
