"""pykan's printed results on its larger tutorials: at least as good."""

from __future__ import annotations

import pytest
import torch

from kaninterp.compat import KAN, create_dataset


def test_interp_4_scores_come_in_their_order():
    """Interp_4: x0^2 + .3 x1 + .1 x2^3 + 0 x3; theory of the scores: .8595, .4993, .1090, 0."""
    data = create_dataset(lambda x: x[:, [0]] ** 2 + 0.3 * x[:, [1]] + 0.1 * x[:, [2]] ** 3, n_var=4)
    model = KAN([4, 5, 1], seed=0)
    model.fit(data, opt="LBFGS", steps=20, lamb=1e-3, log=0)
    scores = model.feature_score
    torch.testing.assert_close(scores, torch.tensor([0.8595, 0.4993, 0.1090, 0.0]).double(), atol=0.12, rtol=0)
    assert float(scores[3]) < 0.01
    assert model.prune_input(0.05).input_id.tolist() == [0, 1, 2]


@pytest.mark.slow
def test_a_hundred_inputs():
    """Interp_4 in 100 dimensions: pykan prints .0320/.0546 and keeps inputs 0 to 4 and the spurious 64."""
    data = create_dataset(lambda x: sum(x[:, [i]] ** 2 * 0.5**i for i in range(100)), n_var=100)
    model = KAN([100, 10, 10, 1], grid=3, k=3, seed=2)
    losses = model.fit(data, opt="LBFGS", steps=50, lamb=1e-3, log=0)
    assert losses["train_loss"][-1] <= 0.0320
    assert losses["test_loss"][-1] <= 0.0546
    small = model.prune_input(3e-2)
    assert small.input_id.tolist() in ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5])
    x = data["test_input"].clone()
    before = small(x)
    x[:, 6:] = 0.0
    assert torch.equal(small(x), before)
