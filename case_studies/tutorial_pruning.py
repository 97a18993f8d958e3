"""pykan's pruning tutorial as it was written, only the import changed; then the report that it never had.

Five hidden nodes for a function that needs one. The tutorial prunes by scores and looks at pictures; the report says
what each removed edge and node costs on rows that were not trained on. Writes ``reports/tutorial_pruning.html`` and the
three pictures ``reports/tutorial_pruning_*.svg``.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

import kaninterp as ki
from kaninterp.compat import KAN, create_dataset

REPORTS = Path(__file__).resolve().parent.parent / "reports"
OUT = REPORTS / "tutorial_pruning.html"


def f(x: Tensor) -> Tensor:
    """The function of the tutorial."""
    return torch.exp(torch.sin(torch.pi * x[:, [0]]) + x[:, [1]] ** 2)


def main() -> None:
    """Train, prune in three ways, train on, report."""
    REPORTS.mkdir(exist_ok=True)
    dataset = create_dataset(f, n_var=2)
    model = KAN(width=[2, 5, 1], grid=5, k=3, seed=0)
    losses = model.train(dataset, opt="LBFGS", steps=20, lamb=0.01, lamb_entropy=10.0)
    print(f"20 steps with a penalty: RMSE {losses['train_loss'][-1]:.3f}, test {losses['test_loss'][-1]:.3f}")
    model.plot(beta=100).savefig(REPORTS / "tutorial_pruning_trained.svg")

    automatic = model.prune()
    by_hand = model.prune(mode="manual", active_neurons_id=[[0, 1], [int(model.node_scores[1].argmax())], [0]])
    print(f"pruned by scores: {automatic.width}; by hand: {by_hand.width}; the model itself stays {model.width}")
    automatic.plot(beta=100).savefig(REPORTS / "tutorial_pruning_pruned.svg")

    losses = by_hand.train(dataset, opt="LBFGS", steps=50)
    print(f"50 steps more, one hidden node: RMSE {losses['train_loss'][-1]:.4f}, test {losses['test_loss'][-1]:.4f}")
    by_hand.plot().savefig(REPORTS / "tutorial_pruning_finished.svg")

    test = (dataset["test_input"], dataset["test_label"])
    page = ki.report(model.head, test, feature_names=["x", "y"], target_names=["f"], out=OUT)
    print(page)
    print(f"\nReport: {OUT}")


if __name__ == "__main__":
    main()
