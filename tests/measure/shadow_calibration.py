"""Calibration of the noise floor in simulation: the numbers in the docstrings of `kaninterp.measure.shadows`.

``python -m tests.measure.shadow_calibration`` (two minutes). A column of noise with weight w is added to a prediction
whose error is independent of it; its loss is held against those of its moved copies.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

from kaninterp.core import benjamini_hochberg, benjamini_yekutieli
from kaninterp.measure.bootstrap import block_length
from kaninterp.measure.moves import PIECES, moves, pieces_of
from kaninterp.measure.prediction import predict

Array = np.ndarray
Draw = Callable[[int, np.random.Generator], Array]
COPIES, WEIGHT, BURN_IN, PERIOD, DAILY = 30, 0.3, 300, 24, 0.3


def white(n: int, rng: np.random.Generator) -> Array:
    return rng.normal(size=n)


def slow(r: float) -> Draw:
    def draw(n: int, rng: np.random.Generator) -> Array:
        values = rng.normal(size=n + BURN_IN)
        for t in range(1, len(values)):
            values[t] = r * values[t - 1] + (1 - r**2) ** 0.5 * values[t]
        return values[BURN_IN:]

    return draw


def daily(n: int, rng: np.random.Generator) -> Array:
    return 2**0.5 * np.sin(2 * np.pi * np.arange(n) / PERIOD + rng.uniform(0, 2 * np.pi))


def rare(n: int, rng: np.random.Generator) -> Array:
    return (rng.uniform(size=n) < 0.02).astype(float)


def heavy(n: int, rng: np.random.Generator) -> Array:
    return rng.standard_t(2.5, size=n)


def p_value(column: Array, rest: Array, orders: Array, weight: float = WEIGHT) -> float:
    real = ((rest - weight * column) ** 2).mean()
    copies = ((rest - weight * column[orders]) ** 2).mean(1)
    return float(predict(np.array([real]), copies[:, None]).p_value[0])


def noise(column: Draw, rest: Draw, n: int, rng: np.random.Generator, pieces: int | None = None) -> float:
    pieces = pieces or pieces_of(n, block_length(n, 1, 1.0))
    return p_value(column(n, rng), rest(n, rng), moves(n, pieces, COPIES, rng))


def useful_day(pieces: int, rng: np.random.Generator) -> float:
    column = daily(1000, rng)
    return p_value(column, white(1000, rng) + DAILY * column, moves(1000, pieces, COPIES, rng))


def discoveries(
    law: Draw, tied: bool, rows: int, rng: np.random.Generator, null: int = 20, real: int = 4
) -> list[float]:
    """False share and power at q < .05 by Benjamini-Hochberg, then by Benjamini-Yekutieli."""
    X = np.stack([law(rows, rng) for _ in range(null + real)], axis=1)
    if tied:
        X[:, :null] = 0.8 * X[:, [0]] + 0.6 * X[:, :null]
    rest = law(rows, rng) + 0.25 * X[:, null:].sum(1)
    orders = moves(rows, PIECES, COPIES, rng)
    p = [p_value(column, rest, orders, 0.25) for column in X.T]
    found = [q(p) < 0.05 for q in (benjamini_hochberg, benjamini_yekutieli)]
    return [f for each in found for f in (each[:null].sum() / max(each.sum(), 1), each[null:].mean())]


def main(draws: int = 2000) -> None:
    rng = np.random.default_rng(100)
    kinds: dict[str, tuple[Draw, Draw]] = {
        "white / white": (white, white),
        "slow / white": (slow(0.95), white),
        "slow / slow": (slow(0.95), slow(0.95)),
        "very slow / very slow": (slow(0.98), slow(0.98)),
        "daily / slow (.90)": (daily, slow(0.9)),
        "rare / white": (rare, white),
        "heavy tails / same": (heavy, heavy),
    }
    for name, (column, rest) in kinds.items():
        for rows in (1000, 100):
            p = np.array([noise(column, rest, rows, rng) for _ in range(draws)])
            sys.stdout.write(
                f"{name}, {rows} rows: {np.mean(p < 0.05):.3f} below .05, {np.mean(p < 0.01):.3f} below .01" + "\n"
            )
    for pieces in (1, PIECES, 2 * PIECES):
        power = np.mean([useful_day(pieces, rng) < 0.01 for _ in range(draws // 4)])
        false = np.mean([noise(slow(0.98), slow(0.98), 1000, rng, pieces) < 0.05 for _ in range(draws)])
        sys.stdout.write(
            f"{pieces} pieces: a useful day found {power:.3f}, very slow noise below .05 {false:.3f}" + "\n"
        )
    for r, tied, rows in ((0, False, 1000), (0, True, 1000), (0.9, False, 1000), (0, True, 300), (0.95, True, 1000)):
        mean = np.mean([discoveries(slow(r), tied, rows, rng) for _ in range(draws // 5)], axis=0)
        sys.stdout.write(
            f"r = {r}, tied {tied}, {rows} rows: false and found {mean[:2].round(3)}, Yekutieli {mean[2:].round(3)}\n"
        )


if __name__ == "__main__":
    main()
