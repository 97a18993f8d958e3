"""Prices of edges against brute force: analytic gradients, finite differences, and pruning carried out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import kaninterp as ki
from kaninterp.core.errors import DataError, InputError, InputTypeError, ModelError
from kaninterp.measure import probe, probe_ablation, probe_replay
from kaninterp.nn import prune_model
from tests.tiny import hybrid, paper_head

ROWS = 300


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def uniform(width: int, seed: int = 0, rows: int = ROWS) -> Tensor:
    return torch.rand(rows, width, generator=seeded(seed), dtype=torch.float64) * 2 - 1


def random_head(*widths: int, dead: float = 0.0, seed: int = 0) -> ki.KANHead:
    """A float64 head whose functions are far from straight; some edges masked."""
    head = ki.KANHead(
        widths[0], widths[-1], widths[1:-1], domain=(-1, 1), noise=1.0, dtype=torch.float64, generator=seeded(seed)
    )
    for layer in head.kan_layers:
        layer.set_mask((torch.rand(layer.mask.shape, generator=seeded(seed)) >= dead).to(layer.mask))
    return head.eval()


def pruned_loss(model, path, found, edges, data, loss):
    """Mean loss of the model with some edges cut by the library's own surgery, their means folded in."""
    keep = [np.ones(mean.shape, bool) for mean in found.means]
    for depth, dst, src in edges:
        keep[depth][dst, src] = False
    cut = prune_model(model, path, keep, found.means, compact=False).eval()
    with torch.no_grad():
        return float(loss(cut(data[0]), data[1]))


def every_edge(found):
    for depth, mean in enumerate(found.means):
        for dst, src in np.ndindex(mean.shape):
            yield depth, dst, src


def mse(output: Tensor, target: Tensor) -> Tensor:
    return ((output - target) ** 2).mean()


def test_taylor_and_fisher_of_one_layer_are_the_analytic_gradient_terms():
    head, x = paper_head(), uniform(4)
    y = torch.sin(3 * x[:, :1])
    found = probe(head, (x, y))
    with torch.no_grad():
        edges = head.kan_layers[0].edges(x)[:, 0]
        slope = 2 * (head(x) - y)
    moved = edges.mean(0) - edges
    np.testing.assert_allclose(found.means[0][0], edges.mean(0), atol=1e-12)
    np.testing.assert_allclose(found.taylor[0][0], (slope * moved).mean(0), atol=1e-12)
    np.testing.assert_allclose(found.fisher[0][0], (slope * moved).square().mean(0) / 2, atol=1e-12)
    # a quadratic loss: exact = first order + variance of the edge
    np.testing.assert_allclose(found.ablation[0], found.taylor[0] + edges.var(0, unbiased=False).numpy(), atol=1e-12)
    np.testing.assert_allclose(found.node_taylor[0], found.taylor[0][0], atol=1e-15)
    assert (found.loss, found.rows, found.fingerprint) == ("mse", ROWS, ki.trace(head, x).card.fingerprint)
    assert found.base == pytest.approx(float((slope / 2).square().mean()))


@pytest.mark.parametrize("widths", [(3, 2), (3, 4, 2), (2, 3, 3, 1)])
def test_gradients_are_those_of_every_output_in_every_node(widths):
    head, x = random_head(*widths, dead=0.3), uniform(widths[0])
    found = probe(head, x, kinds="gradient")
    nodes = [x]
    for layer in head.kan_layers:
        nodes.append(layer(nodes[-1]).requires_grad_())
    for output in range(widths[-1]):
        for depth, layer in enumerate(head.kan_layers):
            above = nodes[depth + 1].detach().clone().requires_grad_()
            value = above
            for later in head.kan_layers[depth + 1 :]:
                value = later(value)
            (slope,) = torch.autograd.grad(value[:, output].sum(), above)
            edges = layer.edges(nodes[depth]).detach()
            expected = (slope[:, :, None] * (edges - edges.mean(0))).abs().mean(0)
            np.testing.assert_allclose(found.gradient[depth][output], expected, atol=1e-12)


@pytest.mark.parametrize("widths", [(3, 2), (3, 4, 2), (2, 3, 3, 1)])
@pytest.mark.parametrize("dead", [0.0, 0.4])
def test_ablation_is_the_loss_of_the_pruned_model(widths, dead):
    head, x = random_head(*widths, dead=dead), uniform(widths[0])
    data = (x, torch.sin(3 * x @ torch.ones(widths[0], widths[-1], dtype=torch.float64)))
    found = probe(head, data, kinds=["ablation"])
    for depth, dst, src in every_edge(found):
        exact = pruned_loss(head, "", found, [(depth, dst, src)], data, mse) - found.base
        assert found.ablation[depth][dst, src] == pytest.approx(exact, abs=1e-12)
        if not head.kan_layers[depth].mask[dst, src]:
            assert found.ablation[depth][dst, src] == found.ablation_error[depth][dst, src] == 0


@pytest.mark.parametrize("widths", [(3, 4, 2), (2, 3, 3, 2)])
def test_taylor_is_the_slope_of_the_loss_along_the_removal(widths):
    head, x = random_head(*widths, dead=0.2), uniform(widths[0])
    y = torch.randint(0, 2, (ROWS,), generator=seeded())
    found = probe(head, (x, y), kinds=["taylor", "fisher"])
    assert found.loss == "cross_entropy"

    def row_losses(depth, dst, src, step):
        values = x
        for here, layer in enumerate(head.kan_layers):
            edges = layer.edges(values)
            values = layer(values)
            if here == depth:
                values[:, dst] += step * (edges[:, dst, src].mean() - edges[:, dst, src])
        return nn.functional.cross_entropy(values, y, reduction="none")

    with torch.no_grad():
        for depth, dst, src in every_edge(found):
            slope = (row_losses(depth, dst, src, 1e-5) - row_losses(depth, dst, src, -1e-5)) / 2e-5
            assert found.taylor[depth][dst, src] == pytest.approx(float(slope.mean()), abs=1e-8)
            assert found.fisher[depth][dst, src] == pytest.approx(float(slope.square().mean() / 2), abs=1e-8)


def test_where_every_step_is_read_a_row_is_the_sequence():
    model = ki.Hybrid(nn.LSTM(2, 3, batch_first=True), random_head(3, 2, 1), readout="all").double().eval()
    x = torch.randn(40, 6, 2, generator=seeded(), dtype=torch.float64)
    y = torch.randn(40, 6, 1, generator=seeded(1), dtype=torch.float64)
    squashed = nn.Sequential(model, nn.Hardtanh(-50, 50))  # changes no value, but the KAN's outputs are not returned
    for host, path in ((model, "head"), (squashed, "0.head")):
        found = probe(host, (x, y))
        with torch.no_grad():
            states = model.backbone(x)[0]
            edges = model.head.kan_layers[0].edges(states.flatten(0, 1)).reshape(40, 6, 2, 3)
        slopes = torch.zeros(40, 6, 2, dtype=torch.float64)
        for row in range(40):
            nodes = model.head.kan_layers[0](states[row].detach()).detach().requires_grad_()
            loss = ((model.head.kan_layers[1](nodes) - y[row]) ** 2).mean()
            slopes[row] = torch.autograd.grad(loss, nodes)[0]
        change = (slopes[..., None] * (edges.mean((0, 1)) - edges)).sum(1)
        np.testing.assert_allclose(found.taylor[0], change.mean(0), atol=1e-12)
        np.testing.assert_allclose(found.fisher[0], change.square().mean(0) / 2, atol=1e-12)
        for edge in every_edge(found):
            exact = pruned_loss(host, path, found, [edge], (x, y), mse) - found.base
            assert found.ablation[edge[0]][edge[1:]] == pytest.approx(exact, abs=1e-12)


class Classifier(nn.Module):
    """Images through a convolution, a KAN, and a softmax that hides the KAN's own outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 2, 3, stride=2).double(), random_head(18, 3, dead=0.3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.conv(x)).flatten(1)).log_softmax(1)


def test_a_model_that_goes_on_after_its_kan_is_run_again():
    model = Classifier().eval()
    x = torch.randn(60, 1, 7, 7, generator=seeded(), dtype=torch.float64)
    y = torch.randint(0, 3, (60,), generator=seeded())
    found = probe(model, (x, y), loss=nn.NLLLoss(), permutations=4)
    bare = nn.Sequential(model.conv, nn.Tanh(), nn.Flatten(), model.head)  # logits: the KAN's own outputs
    same = probe(bare, (x, y), permutations=4)
    assert (found.loss, same.loss) == ("NLLLoss", "cross_entropy")
    for name in ("means", "taylor", "fisher", "ablation", "ablation_error", "shapley", "shapley_error"):
        np.testing.assert_allclose(getattr(found, name)[0], getattr(same, name)[0], atol=1e-12)
    edge = (0, 1, int(np.flatnonzero(found.ablation[0][1])[0]))
    exact = pruned_loss(model, "head", found, [edge], (x, y), nn.NLLLoss()) - found.base
    assert found.ablation[0][edge[1:]] == pytest.approx(exact, abs=1e-12)


def test_a_clamp_that_is_idle_on_the_data_is_not_taken_for_nothing():
    head, x = random_head(2, 3, 1), uniform(2)
    with torch.no_grad():
        head.kan_layers[1].bias += 0.01 - head(x).min()
    model = nn.Sequential(head, nn.ReLU())  # idle here, not once an edge is gone
    data = (x, model(x).detach())
    found, bare = probe(model, data, kinds="ablation"), probe(head, data, kinds="ablation")
    for depth, dst, src in every_edge(found):
        exact = pruned_loss(model, "0", found, [(depth, dst, src)], data, mse) - found.base
        assert found.ablation[depth][dst, src] == pytest.approx(exact, abs=1e-12)
    assert np.abs(found.ablation[0] - bare.ablation[0]).max() > 1e-4


class Guarded(nn.Module):
    """Returns the KAN's outputs, but not just any."""

    def __init__(self, head: ki.KANHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        y = self.head(x)
        if bool((y.abs() > 50).any()):
            raise ValueError("out of range")
        return y


def test_a_model_may_refuse_unusual_outputs():
    head, data = random_head(2, 2, 1), (uniform(2), uniform(2)[:, :1])
    guarded, bare = probe(Guarded(head), data), probe(head, data)
    for name in ("taylor", "fisher", "ablation", "shapley"):
        np.testing.assert_allclose(getattr(guarded, name)[0], getattr(bare, name)[0], atol=1e-12)


def test_no_target_prices_the_change_of_the_output():
    head, x = random_head(3, 2, 2), uniform(3)
    found = probe(head, x, kinds=("ablation", "shapley"))
    with torch.no_grad():
        usual = head(x)

    def change(output, _):
        return ((output - usual) ** 2 / usual.var(0, unbiased=False)).mean()

    assert (found.loss, found.base) == ("output change", 0.0)
    assert found.taylor is found.fisher is found.node_taylor is None
    for edge in every_edge(found):
        exact = pruned_loss(head, "", found, [edge], (x, None), change)
        assert found.ablation[edge[0]][edge[1:]] == pytest.approx(exact, abs=1e-12)
    with pytest.raises(DataError, match=r"taylor and fisher need a target.*tensor 300 x 3"):
        probe(head, x)


def test_the_answer_does_not_depend_on_how_it_is_cut(monkeypatch):
    head, x = random_head(4, 3, 2), uniform(4)
    data = (x, x[:, :2])
    whole = probe(head, data)
    monkeypatch.setattr(probe_replay, "CHUNK_VALUES", 7 * 12)
    monkeypatch.setattr(probe_ablation, "VARIANT_VALUES", 30)
    parts = probe(head, data)
    for name in ("means", "taylor", "fisher", "ablation", "ablation_error", "shapley"):
        for a, b in zip(getattr(whole, name), getattr(parts, name), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12)


def test_the_model_and_the_random_numbers_stay_as_they_were():
    model = hybrid(outputs=3).train()
    model.head.kan_layers[0].set_mask(torch.eye(3, 6))
    model.backbone.weight_ih_l0.grad = torch.ones_like(model.backbone.weight_ih_l0)
    x, y = torch.randn(50, 5, 4, generator=seeded()), torch.randint(0, 3, (50,), generator=seeded())
    before = {key: value.clone() for key, value in model.state_dict().items()}
    rng, hooks = torch.get_rng_state(), [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    found = probe(nn.Sequential(model, nn.LogSoftmax(-1)).train(), (x, y))
    again = probe(nn.Sequential(model, nn.LogSoftmax(-1)).train(), (x, y))
    assert found.equals(again)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), rng)
    assert all(module.training for module in model.modules())
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()] == hooks
    grads = [name for name, p in model.named_parameters() if p.grad is not None]
    assert grads == ["backbone.weight_ih_l0"]
    assert bool((model.backbone.weight_ih_l0.grad == 1).all())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_rows_are_spread_over_the_data_and_the_target_may_be_a_column():
    frame = pd.DataFrame(uniform(3).numpy(), columns=["a", "b", "y"])
    found = probe(random_head(2, 1), frame, target="y", rows=50)
    assert found.rows == 50
    picked = frame.iloc[np.round(np.linspace(0, ROWS - 1, 50)).astype(int)]
    edges = random_head(2, 1).kan_layers[0].edges(torch.tensor(picked[["a", "b"]].to_numpy()))
    np.testing.assert_allclose(found.means[0], edges.detach().mean(0), atol=1e-12)


class FedBack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = random_head(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.head(x)))[:, :1]


class Standardized(nn.Module):
    """Rows share in each other's loss."""

    def __init__(self) -> None:
        super().__init__()
        self.head = random_head(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.head(x)
        return (y - y.mean()) / y.std()


@pytest.mark.parametrize(
    ("model", "options", "error", "words"),
    [
        (FedBack(), {}, ModelError, "fed its own outputs"),
        (Standardized(), {"kinds": "fisher"}, ModelError, "leave 'fisher' out"),
        (
            random_head(2, 1),
            {"kinds": ["taylor", "hessian"]},
            InputError,
            "'hessian'.*allowed: gradient, taylor",
        ),
        (random_head(2, 1), {"rows": 0}, InputError, "rows.*at least 1"),
        (random_head(2, 1), {"rows": 1.5}, InputTypeError, "rows.*float"),
        (random_head(2, 1), {"permutations": 5}, InputError, "even number of at least 4, got 5"),
        (random_head(2, 1), {"permutations": True}, InputTypeError, "permutations"),
        (random_head(2, 1), {"seed": -1}, InputError, "seed"),
        (random_head(2, 1), {"loss": "msa"}, InputError, "msa"),
        (nn.Linear(2, 1).double(), {}, ModelError, "no KAN"),
    ],
)
def test_what_cannot_be_measured_is_refused(model, options, error, words):
    with pytest.raises(error, match=words):
        probe(model, (uniform(2), uniform(2)[:, :1]), **options)


def test_broken_weights_are_found():
    head = random_head(2, 1)
    with torch.no_grad():
        head.kan_layers[0].weight[0, 0, 0] = torch.nan
    with pytest.raises((ModelError, DataError)):
        probe(head, (uniform(2), uniform(2)[:, :1]))
