"""Problems with known truth, small and deterministic (numpy only)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Planted:
    """Data, and what a correct tool must keep and drop."""

    X: np.ndarray
    y: np.ndarray
    names: tuple[str, ...]
    keep: frozenset[int]
    drop: frozenset[int]


def additive(n: int = 2000, noise_columns: int = 5, seed: int = 0) -> Planted:
    """2 x0 + sin(pi x1) + x2^2, the other columns are noise; noise of variance .05 on y."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, size=(n, 3 + noise_columns))
    y = 2 * X[:, 0] + np.sin(np.pi * X[:, 1]) + X[:, 2] ** 2 + 0.05**0.5 * rng.normal(size=n)
    names = tuple(f"x{i}" for i in range(X.shape[1]))
    return Planted(X, y, names, frozenset(range(3)), frozenset(range(3, X.shape[1])))


def lagged(n: int = 2000, length: int = 8, noise_columns: int = 3, seed: int = 0) -> Planted:
    """u0 at lag 1 plus sin(u1) at lag 2, the other columns are noise; windows (n, length, columns)."""
    rng = np.random.default_rng(seed)
    u = rng.normal(size=(n + length, 2 + noise_columns))
    X = np.lib.stride_tricks.sliding_window_view(u, length, axis=0).transpose(0, 2, 1)[:n].copy()
    y = X[:, -2, 0] + np.sin(X[:, -3, 1]) + 0.1 * rng.normal(size=n)
    names = tuple(f"u{i}" for i in range(u.shape[1]))
    return Planted(X, y, names, frozenset({0, 1}), frozenset(range(2, u.shape[1])))
