"""Rankings do not move when an input is shifted (Fan et al. 2025, arXiv 2510.01663); mean |phi| does.

``python -m tests.measure.test_probe_shift`` trains the networks and writes the table in the docstring of `probe`.
"""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch import Tensor

import kaninterp as ki
from kaninterp.analysis import edge_scores, layer_scores
from kaninterp.measure import probe
from tests.measure.test_probe import random_head, uniform
from tests.planted import additive
from tests.tiny import paper_head

SHIFT = 5.0
NOISE = 6  # a column of `additive` that the target does not depend on
EPOCHS = 20  # mean squared error .047 with noise of variance .05


def mean_magnitude(head: ki.KANHead, x: Tensor) -> np.ndarray:
    """Mean |phi| of the edges of the first layer: the score of the KAN paper (arXiv 2404.19756, section 2.5)."""
    with torch.no_grad():
        return head.kan_layers[0].edges(x).abs().mean(0).numpy()


def shifted(head: ki.KANHead, column: int, shift: float) -> ki.KANHead:
    """The head for data whose column is larger by ``shift``: its grid moves along, so the function is the same.

    As anybody would write it in the new coordinate, a slope a x stays a x and the constant -a shift that it then wants
    goes to the bias.
    """
    moved = ki.KANHead(**head.config, dtype=torch.float64, generator=torch.Generator()).eval()
    moved.load_state_dict(head.state_dict())
    layer = moved.kan_layers[0]
    lo, hi = layer.domain
    step = shift * torch.eye(len(lo), dtype=torch.float64)[column]
    points = torch.linspace(float(lo[column]), float(hi[column]), 101, dtype=torch.float64)
    rows = torch.zeros(101, len(lo), dtype=torch.float64)
    rows[:, column] = points
    with torch.no_grad():
        values = layer.edges(rows)[:, :, column]
        slope = ((points - points.mean())[:, None] * values).sum(0) / (points - points.mean()).square().sum()
        layer.set_domain(lo + step, hi + step)
        layer.weight[:, :-1, column] += shift * slope[:, None]  # splines sum to 1: a constant
        layer.bias -= shift * slope
    return moved


def splines_only(head: ki.KANHead) -> ki.KANHead:
    """Without the base branch, which does not shift."""
    with torch.no_grad():
        for layer in head.kan_layers[:1]:
            layer.weight[:, -1] = 0
    return head


CASES = {
    "paper": (paper_head, 4),
    "two layers": (lambda: splines_only(random_head(4, 3, 2, seed=3)), 4),
    "three layers": (lambda: splines_only(random_head(3, 3, 2, 1, seed=1)), 3),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("shift", [2.0, 30.0])
def test_moving_a_column_moves_no_score_of_ours(case, shift):
    build, width = CASES[case]
    head, x = build(), uniform(width)
    moved_x = x + shift * torch.eye(width, dtype=torch.float64)[1]
    y = torch.sin(3 * x @ torch.ones(width, head.out_features, dtype=torch.float64))
    moved = shifted(head, 1, shift)
    with torch.no_grad():
        torch.testing.assert_close(moved(moved_x), head(x), atol=1e-10, rtol=0)
    before, after = (probe(h, (rows, y), permutations=4) for h, rows in ((head, x), (moved, moved_x)))
    for name in ("taylor", "fisher", "ablation", "ablation_error", "shapley", "shapley_error", "node_taylor"):
        for a, b in zip(getattr(before, name), getattr(after, name), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-9)
    scores = [layer_scores(ki.trace(h, rows)) for h, rows in ((head, x), (moved, moved_x))]
    for name in ("strength", "share", "kan2", "path"):
        for a, b in zip(*(edge_scores(s, name) for s in scores), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-9)


def test_moving_a_column_reverses_the_order_of_mean_magnitude():
    head, x = paper_head(), uniform(4)
    moved_x = x + SHIFT * torch.eye(4, dtype=torch.float64)[1]
    before, after = mean_magnitude(head, x)[0], mean_magnitude(shifted(head, 1, SHIFT), moved_x)[0]
    assert before.argmax() == 0  # x0^2
    assert after.argmax() == 1  # .3 x1
    assert after[1] == pytest.approx(0.3 * SHIFT, rel=0.02)
    np.testing.assert_allclose(after[[0, 2, 3]], before[[0, 2, 3]], atol=1e-12)


def trained_scores(seed: int, shift: float, hidden: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Scores of the columns by networks trained on data whose noise column is larger by ``shift``."""
    problem = additive(1000, seed=seed)
    x, y = torch.tensor(problem.X, dtype=torch.float32), torch.tensor(problem.y, dtype=torch.float32)[:, None]
    x[:, NOISE] += shift
    head = ki.KANHead(8, 1, hidden, generator=torch.Generator().manual_seed(seed))
    ki.fit(head, (x, y), epochs=EPOCHS, seed=seed, validation=None, progress=False)
    found, traced = probe(head, (x, y), progress=False), layer_scores(ki.trace(head, x, progress=False))
    return {
        "mean |phi|": mean_magnitude(head, x).max(0),
        "strength": edge_scores(traced, "strength")[0].max(0),
        "kan2": edge_scores(traced, "kan2")[0].max(0),
        "ablation": found.ablation[0].max(0),
        "shapley": found.shapley[0],
    }


def rank(values: np.ndarray, column: int) -> int:
    """1 for the largest."""
    return 1 + int((values > values[column]).sum())


def agreement(left: np.ndarray, right: np.ndarray) -> float:
    """Spearman's rank correlation."""
    return float(np.corrcoef(left.argsort().argsort(), right.argsort().argsort())[0, 1])


def test_a_network_trained_on_moved_data_ranks_the_noise_column_low_by_our_scores_only():
    usual, moved = (trained_scores(0, shift, (3,)) for shift in (0.0, SHIFT))
    assert rank(usual["mean |phi|"], NOISE) > 3 >= rank(moved["mean |phi|"], NOISE)
    for name in ("strength", "kan2", "ablation", "shapley"):
        assert rank(moved[name], NOISE) > 3
        assert agreement(usual[name], moved[name]) > agreement(usual["mean |phi|"], moved["mean |phi|"])


def main() -> None:
    """Write agreement of the rankings before and after the shift, and the place of the noise column, over 5 seeds."""
    torch.set_num_threads(1)
    for hidden in ((), (3,)):
        pairs = [[trained_scores(seed, shift, hidden) for shift in (0.0, SHIFT)] for seed in range(5)]
        for name in pairs[0][0]:
            agree = np.mean([agreement(usual[name], moved[name]) for usual, moved in pairs])
            places = [[rank(scores[name], NOISE) for scores in pair] for pair in pairs]
            usual, moved = np.mean(places, axis=0)
            sys.stdout.write(f"{(8, *hidden, 1)!s:10} {name:11} {agree:5.2f} {usual:5.1f} {moved:5.1f}\n")


if __name__ == "__main__":
    main()
