"""Symbolic recovery of thirty Feynman equations, and pykan's `auto_symbolic` in the same time.

    python -m pytest tests/benchmarks/test_feynman.py -q -s -p no:xdist

Seed 0; 2000 rows, of which 1200 train. Shapes [n, 1], [n, 1, 1] and [n, 2, 1], three starts each, until a formula is
exact to 1e-10 of the variance. Solved: R2 above .999999 on ranges half as wide again at their upper ends. pykan trains
the same shapes (L-BFGS, then `auto_symbolic`, then L-BFGS) and is stopped after the time that ours took, but not before
its first shape is done.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

import kaninterp as ki
from kaninterp.symbolic import formula
from tests.benchmarks.feynman import EQUATIONS

SHAPES = ((), (1,), (2,))
STARTS = 3
EXACT = 1e-10
SOLVED = 0.999999
SEED = 0

pytestmark = pytest.mark.usefixtures("one_thread")


def data(equation):
    x, y = equation.rows(2000, SEED)
    units = y.mean(), y.std()
    return (
        torch.tensor(x, dtype=torch.float32),
        torch.tensor((y - units[0]) / units[1], dtype=torch.float32)[:, None],
        units,
    )


def r2_on_wider_ranges(equation, function, units):
    x, y = equation.rows(2000, SEED + 1, wider=0.5)
    with np.errstate(all="ignore"):
        found = np.asarray(function(x), dtype=float) * units[1] + units[0]
    return 1 - np.mean((found - y) ** 2) / y.var() if np.isfinite(found).all() else -np.inf


def ours(equation):
    x, y, units = data(equation)
    best, began = None, time.perf_counter()
    for hidden in SHAPES:
        for start in range(STARTS):
            source = torch.Generator().manual_seed(100 * SEED + start)
            head = ki.KANHead(x.shape[1], 1, hidden, grid=8, generator=source)
            rows = (x[:1200], y[:1200])
            ki.fit(head, rows, optimizer="lm", epochs=60, validation=None, seed=start, progress=False)
            found = formula(head, (x, y), progress=False)
            if best is None or (found.whole, -found.formula_loss) > (best.whole, -best.formula_loss):
                best = found
            if best.whole and best.formula_loss < EXACT:
                break
        if best.whole and best.formula_loss < EXACT:
            break
    seconds = time.perf_counter() - began
    return r2_on_wider_ranges(equation, lambda rows: best.formula(rows)[:, 0], units), seconds, best.formula.text()


def pykans(equation, budget, folder):
    kan = pytest.importorskip("kan")
    x, y, units = data(equation)
    sets = {"train_input": x[:1200], "train_label": y[:1200], "test_input": x[1200:], "test_label": y[1200:]}
    best, began = (-np.inf, ""), time.perf_counter()
    for hidden in SHAPES:
        try:
            model = kan.KAN([x.shape[1], *hidden, 1], grid=8, k=3, seed=SEED, auto_save=False, ckpt_path=str(folder))
            model.fit(sets, opt="LBFGS", steps=50, log=100)
            model.auto_symbolic(verbose=0)
            model.fit(sets, opt="LBFGS", steps=50, log=100)
            expression = model.symbolic_formula()[0][0]
            r2 = r2_on_wider_ranges(equation, evaluated(expression, x.shape[1]), units)
            best = max(best, (r2, str(expression)))
        except Exception as error:
            best = max(best, (-np.inf, type(error).__name__))
        if best[0] > SOLVED or time.perf_counter() - began > budget:
            break
    return best[0], time.perf_counter() - began


def evaluated(expression, n):
    import sympy

    function = sympy.lambdify(sympy.symbols(f"x_1:{n + 1}"), expression, "numpy")
    return lambda rows: np.broadcast_to(function(*rows.T), len(rows))


@pytest.mark.filterwarnings("ignore")
def test_recovery(tmp_path, capsys):
    solved = [0, 0]
    for equation in EQUATIONS:
        mine, seconds, text = ours(equation)
        with capsys.disabled():
            print(f"\n{equation.name:10s} R2 {mine:11.8f} {seconds:5.1f} s", end="", flush=True)
        theirs, their_seconds = pykans(equation, seconds, tmp_path)
        solved = [solved[0] + (mine > SOLVED), solved[1] + (theirs > SOLVED)]
        with capsys.disabled():
            print(f" | pykan R2 {theirs:11.8f} {their_seconds:5.1f} s | {text[:90]}", end="", flush=True)
    with capsys.disabled():
        print(f"\nsolved: {solved[0]} of {len(EQUATIONS)}, pykan {solved[1]}")
