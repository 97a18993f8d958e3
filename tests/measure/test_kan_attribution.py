"""Attributions of single rows: exact within the KAN, complete through any backbone, at home among captum's methods."""

import copy

import pytest
import torch
from captum.attr import Attribution, IntegratedGradients, NoiseTunnel, ShapleyValues
from captum.metrics import infidelity, sensitivity_max
from torch import nn

import kaninterp as ki
from kaninterp.core.errors import InputError, InputTypeError, ModelError, ShapeError
from kaninterp.measure.kan_attribution import KANAttribution


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def head(n_in, n_out=1, hidden=(), seed=0, **options):
    return ki.KANHead(n_in, n_out, hidden, domain=(-2, 2), noise=1.0, generator=generator(seed), **options)


class Recurrent(nn.Module):
    def __init__(self, cell=nn.LSTM, every_step=False):
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.every_step = cell(3, 6, batch_first=True), every_step
        self.head = head(6, 2, (4,))

    def forward(self, x):
        h = self.cell(x)[0]
        return self.head(h).mean(1) if self.every_step else self.head(h[:, -1])


class Conv(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = nn.Conv1d(3, 5, 3), head(5, 2)

    def forward(self, x):
        return torch.sigmoid(self.head(torch.tanh(self.conv(x.transpose(1, 2))).mean(2)))


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.up = nn.Linear(3, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.5)
        self.head = head(8, 2)

    def forward(self, x):
        return self.head(self.layer(self.up(x))[:, -1])


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table, self.lookup = nn.Linear(2, 3), nn.Embedding(7, 3)
        self.head = head(6)

    def forward(self, values, codes):
        return self.head(torch.cat([torch.tanh(self.table(values)), self.lookup(codes)], 1))


@pytest.mark.parametrize("make", [
    Recurrent, lambda: Recurrent(nn.GRU), lambda: Recurrent(nn.RNN, every_step=True), Conv, Attending,
])  # fmt: skip
@pytest.mark.parametrize("target", [0, 1, torch.tensor([0, 1, 1, 0, 1])])
def test_attributions_sum_to_the_difference_of_the_outputs(make, target):
    model = make()
    x, base = torch.randn(5, 7, 3, generator=generator()), torch.randn(1, 7, 3, generator=generator(1))
    before = copy.deepcopy(model.state_dict())
    model.train()
    parts, delta = KANAttribution(model).attribute(x, base, target=target, n_steps=64, return_convergence_delta=True)
    assert parts.shape == x.shape
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    model.eval()
    with torch.no_grad():
        gap = model(x) - model(base)
    gap = gap[:, target] if isinstance(target, int) else gap.gather(1, target[:, None])[:, 0]
    scale = gap.abs().max()
    assert (parts.sum((1, 2)) - gap).abs().max() < 5e-3 * scale  # kinks of a ReLU are the hardest to integrate over
    torch.testing.assert_close(delta, parts.sum((1, 2)) - gap, atol=1e-4 * float(scale), rtol=0)


def test_one_layer_gives_shapley_values():
    kan = head(4).eval()
    x, base = torch.randn(6, 4, generator=generator()), torch.randn(1, 4, generator=generator(1))
    parts = KANAttribution(kan).attribute(x, base)
    exact = ShapleyValues(lambda x: kan(x)[:, 0]).attribute(x, baselines=base)
    torch.testing.assert_close(parts, exact, atol=1e-4, rtol=0)


def test_a_deep_kan_is_explained_without_steps():
    kan = head(4, 1, (5, 3)).eval()
    x, base = torch.randn(50, 4, generator=generator()), torch.zeros(1, 4)
    _, delta = KANAttribution(kan).attribute(x, base, n_steps=1, return_convergence_delta=True)
    size = (kan(x) - kan(base)).detach().abs().max()
    assert delta.abs().max() < 1e-3 * size
    # integrated gradients need many steps for what secants give at once
    _, rough = IntegratedGradients(lambda x: kan(x)[:, 0]).attribute(
        x, baselines=base, n_steps=8, return_convergence_delta=True
    )
    assert delta.abs().max() < 0.1 * rough.abs().max()


def test_a_linear_recurrent_net_gives_back_its_lag_weights():
    cell = nn.RNN(2, 1, batch_first=True, nonlinearity="relu", bias=False)
    kan = ki.KANHead(1, 1, base="identity", noise=0.0, domain=(-50, 50), generator=generator())
    with torch.no_grad():
        cell.weight_ih_l0.copy_(torch.tensor([[1.0, 0.25]]))
        cell.weight_hh_l0.fill_(0.64)
        kan.kan_layers[0].weight[:, -1] = 2.0

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.kan = cell, kan

        def forward(self, x):
            return self.kan(self.cell(x)[0][:, -1])

    x = torch.rand(4, 6, 2, generator=generator()) + 0.5  # positive: the ReLU never cuts
    parts = KANAttribution(Net()).attribute(x, torch.zeros(1, 6, 2))
    weights = 2.0 * 0.64 ** torch.arange(5.0, -1, -1)[:, None] * torch.tensor([1.0, 0.25])
    torch.testing.assert_close(parts, x * weights, atol=1e-4, rtol=1e-4)


def test_inputs_by_name_and_rows_in_parts():
    model = Named()
    inputs = {"values": torch.randn(9, 2, generator=generator()), "codes": torch.arange(9) % 7}
    attribution = KANAttribution(model)
    whole, delta = attribution.attribute(inputs, return_convergence_delta=True)
    assert list(whole) == ["values", "codes"]
    assert delta.abs().max() < 1e-3
    parts = attribution.attribute(inputs, internal_batch_size=2)
    torch.testing.assert_close(parts["values"], whole["values"])
    by_place = KANAttribution(model, keys=("values", "codes")).attribute(tuple(inputs.values()))
    torch.testing.assert_close(by_place[0], whole["values"])
    assert not by_place[1].any()


def test_indices_have_the_effects_of_their_embeddings():
    model = Named().eval()
    values, codes = torch.randn(9, 2, generator=generator()), torch.arange(9) % 7
    inputs, base = (values, codes), (torch.zeros(1, 2), torch.zeros(1, dtype=torch.long))
    attribution = KANAttribution(model, keys=("values", "codes"))
    parts, delta = attribution.attribute(inputs, base, return_convergence_delta=True)
    assert parts[1].shape == codes.shape
    assert delta.abs().max() < 1e-3
    # the KAN has one layer and the two inputs meet nowhere: each effect is a difference of the model itself
    with torch.no_grad():
        alone = (model(values, codes) - model(values, torch.zeros_like(codes)))[:, 0]
    torch.testing.assert_close(parts[1], alone, atol=1e-3, rtol=0)
    assert float(parts[1][0]) == 0.0  # it is the baseline itself
    for wrong in (torch.zeros(1), torch.zeros(1, 2, dtype=torch.long)):
        with pytest.raises((InputTypeError, ShapeError), match="baseline 1"):
            attribution.attribute(inputs, (None, wrong))


def test_captum_takes_it_for_one_of_its_own():
    model = Recurrent()
    x = torch.randn(4, 5, 3, generator=generator())
    attribution = KANAttribution(model)
    assert isinstance(attribution, Attribution)
    assert attribution.has_convergence_delta()
    torch.manual_seed(0)
    smooth, delta = NoiseTunnel(attribution).attribute(
        x, nt_samples=3, stdevs=0.01, target=1, n_steps=8, return_convergence_delta=True
    )
    plain = attribution.attribute(x, target=1, n_steps=8)
    assert smooth.shape == x.shape
    assert delta.shape == (12,)
    torch.testing.assert_close(smooth, plain, atol=0.05, rtol=0.5)
    torch.manual_seed(0)
    sensitivity = sensitivity_max(attribution.attribute, x, target=1, n_steps=8, perturb_radius=0.01)
    assert sensitivity.shape == (4,)
    assert bool((sensitivity < 0.5).all())

    def perturb(inputs):
        noise = 0.1 * torch.randn_like(inputs)
        return noise, inputs - noise

    model.eval()
    good = infidelity(model, perturb, x, plain, target=1, n_perturb_samples=20, normalize=True)
    torch.manual_seed(0)
    bad = infidelity(model, perturb, x, torch.randn_like(plain), target=1, n_perturb_samples=20, normalize=True)
    assert good.mean() < bad.mean()


def test_what_goes_past_the_kan_is_the_delta():
    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.kan = head(2)

        def forward(self, x):
            return self.kan(x) + 3 * x[:, :1]

    x = torch.randn(5, 2, generator=generator())
    _, delta = KANAttribution(Skip()).attribute(x, return_convergence_delta=True)
    torch.testing.assert_close(delta, -3 * x[:, 0], atol=1e-3, rtol=1e-3)


class Rounded(nn.Module):
    def __init__(self):
        super().__init__()
        self.kan = head(3)

    def forward(self, x):
        with torch.no_grad():
            x = x.round()
        return self.kan(x)


def test_bad_input_is_refused_with_what_to_do():
    model, x = Recurrent(), torch.randn(4, 5, 3)
    attribution = KANAttribution(model)
    for target in (2, -5, None, (0, 1), torch.tensor([0, 1]), "first"):
        with pytest.raises(InputError, match=r"target=.*allowed: 0 to 1"):
            attribution.attribute(x, target=target)
    for base in (torch.zeros(5, 3), torch.zeros(3, 5, 3), torch.zeros(4, 5, 2)):
        with pytest.raises(ShapeError, match=r"baseline 0 has shape .* allowed: that of the input, \(4, 5, 3\)"):
            attribution.attribute(x, base, target=0)
    with pytest.raises(InputTypeError, match="baseline 0 is str"):
        attribution.attribute(x, "mean", target=0)
    with pytest.raises(ShapeError, match="2 baselines for 1 inputs"):
        attribution.attribute(x, (x, x), target=0)
    with pytest.raises(InputTypeError, match="inputs hold list"):
        attribution.attribute([[1.0]], target=0)
    with pytest.raises(ShapeError, match="no rows"):
        attribution.attribute(x[:0], target=0)
    for steps in (0, 2.5, True):
        with pytest.raises(InputError, match="n_steps="):
            attribution.attribute(x, target=0, n_steps=steps)
    with pytest.raises(ModelError, match=r"no gradient flows.*perturbation"):
        KANAttribution(Rounded()).attribute(torch.randn(4, 3))
    with pytest.raises(ModelError, match="depend on the other rows"):
        KANAttribution(nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False), head(3)))
    with pytest.raises(InputError, match="baselines are named"):
        KANAttribution(Named()).attribute(
            {"values": torch.ones(2, 2), "codes": torch.ones(2).long()}, {"x": torch.ones(2)}
        )
