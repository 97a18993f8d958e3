"""From data to a formula and back to its proof: pykan's getting-started example, with names, units and noise.

A pump's power, made up: the exponential of a wave and a parabola. The columns come in their own units, one says
nothing, the target has two per cent of noise. Trained by Levenberg-Marquardt with a penalty, pruned, written as a
formula. Writes ``reports/tutorial_formula.html``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

import kaninterp as ki
from kaninterp.compat import KAN
from kaninterp.data import Standardizer

NAMES = ("phase", "flow", "noise")
OUT = Path(__file__).resolve().parent.parent / "reports" / "tutorial_formula.html"


def measured(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Phase in radians, flow in litres a second, a column that says nothing; power in watts."""
    rng = np.random.default_rng(seed)
    columns = np.stack([rng.uniform(0, 6.28, rows), rng.uniform(0, 4, rows), rng.normal(size=rows)], axis=1)
    power = np.exp(np.sin(columns[:, 0]) + 0.25 * (columns[:, 1] - 2) ** 2)
    return columns, power + 0.02 * power.std() * rng.normal(size=rows)


def main() -> None:
    """Train, prune, write the formula, report."""
    columns, power = measured(3000, seed=0)
    units, watts = Standardizer.fit(columns[:1800], NAMES), Standardizer.fit(power[:1800])
    x = torch.tensor(units.transform(columns), dtype=torch.float32)
    y = torch.tensor(watts.transform(power), dtype=torch.float32).reshape(-1, 1)
    dataset = {"train_input": x[:1800], "train_label": y[:1800], "test_input": x[1800:], "test_label": y[1800:]}

    model = KAN(width=[3, 5, 1], grid=5, k=3, seed=0)
    model.fit(dataset, opt="LM", steps=60, lamb=3e-3)
    model = model.prune(node_th=0.05)
    losses = model.fit(dataset, opt="LM", steps=40)
    print(f"pruned to {model.width}, RMSE {losses['train_loss'][-1]:.4f}, test {losses['test_loss'][-1]:.4f}")

    model.head.input_names, model.head.output_names = NAMES, ("power",)
    found = ki.formula(model.head, (x, y), inputs=units, outputs=watts)
    print(found)
    print(found.table().to_string(index=False))

    OUT.parent.mkdir(exist_ok=True)
    page = ki.report(model.head, (x[1800:], y[1800:]), reference=(x[:1800], y[:1800]), feature_names=NAMES, out=OUT)
    print(page)
    print(f"\nReport: {OUT}")


if __name__ == "__main__":
    main()
