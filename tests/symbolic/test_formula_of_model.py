"""Models as formulas: exact where they are, splines where nothing fits, in the user's names and units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import sympy
import torch
from sklearn.datasets import make_moons

import kaninterp as ki
from kaninterp.core import Estimate
from kaninterp.core.edge_formula import EdgeFormula
from kaninterp.core.errors import DataError, InputError, InputTypeError, ModelError, ShapeError
from kaninterp.core.families import FAMILIES, Family
from kaninterp.data import Standardizer
from kaninterp.nn.formulas import with_formulas
from kaninterp.symbolic import formula, snap
from kaninterp.symbolic.of_head import head_formula

SEEDS = range(5)


def trained(function, width, seed, *, low=-1.0, high=1.0, n=1000, grid=5, noise=0.0, names=None):
    source = torch.Generator().manual_seed(seed)
    x = low + (high - low) * torch.rand(n, width[0], generator=source)
    y = function(x)[:, None]
    y = y + noise * torch.randn(y.shape, generator=source)
    head = ki.KANHead(width[0], width[-1], tuple(width[1:-1]), grid=grid, generator=source, input_names=names)
    ki.fit(head, (x[:600], y[:600]), optimizer="lm", epochs=60, validation=None, seed=seed, progress=False)
    return head, x, y


def fit_of(head, x, y):
    with torch.no_grad():
        return float(((head.eval()(x[:600]) - y[:600]) ** 2).mean())


def start(x):
    return torch.exp(torch.sin(torch.pi * x[:, 0]) + x[:, 1] ** 2)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_getting_started_formula(seed):
    head, x, y = trained(start, [2, 1, 1], seed, names=["a", "b"])
    before = {name: value.clone() for name, value in head.state_dict().items()}
    found = formula(head, (x, y), progress=False)
    assert found.whole
    assert found.formula_loss < 1e-9  # hellokan ends at 3.3e-10 RMSE; here squared
    assert found.formula.text() == "exp(b**2 + sin(pi*a))"
    assert all(torch.equal(value, before[name]) for name, value in head.state_dict().items())


def test_relativistic_velocities():
    """Example 10: tanh(artanh u + artanh v)."""
    head, x, y = trained(
        lambda x: (x[:, 0] + x[:, 1]) / (1 + x[:, 0] * x[:, 1]), [2, 1, 1], 0, low=-0.9, high=0.9, grid=10
    )
    found = formula(head, (x, y), progress=False)
    assert {each.family for each in found.edges} == {"arctanh", "tanh"}
    assert found.formula_loss < 1e-10


def test_a_bessel_function_is_found():
    """Example 5: pykan proposes 0 for this live edge."""
    tries = (
        trained(lambda x: torch.exp(torch.special.bessel_j0(20 * x[:, 0]) + x[:, 1] ** 2), [2, 1, 1], seed, grid=20)
        for seed in SEEDS
    )
    # training from one start in five gets stuck; a formula cannot mend that
    head, x, y = next(each for each in tries if fit_of(*each) < 0.01)
    found = formula(head, (x, y), progress=False)
    assert [each.family for each in found.edges] == ["J0", "x^2", "exp"]
    assert found.formula_loss < 1e-8


def test_noise_is_not_written_down():
    head, x, y = trained(lambda x: torch.sin(3 * x[:, 0]), [2, 1], 0, noise=0.2, names=["a", "b"], n=2000)
    found = formula(head, (x, y), progress=False)
    assert found.formula.inputs_of() == (0,)
    assert "sin" in found.formula.text()
    assert found.formula_loss <= 1.05 * found.model_loss
    assert found.dropped


def test_units_of_the_user():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"wind speed": rng.uniform(0, 20, 1000), "gust": rng.uniform(0, 30, 1000)})
    power = 0.5 * table["wind speed"].to_numpy() ** 2 + table["gust"].to_numpy()
    before, after = Standardizer.fit(table), Standardizer.fit(power)
    x = torch.tensor(before.transform(table).to_numpy(), dtype=torch.float32)
    y = torch.tensor(after.transform(power), dtype=torch.float32).reshape(-1, 1)
    head = ki.KANHead(2, 1, input_names=list(table), output_names=["power"], generator=torch.Generator().manual_seed(0))
    ki.fit(head, (x, y), optimizer="lm", epochs=20, seed=0, progress=False)
    found = formula(head, (x, y), inputs=before, outputs=after, progress=False)
    values = found.formula(table.to_numpy())[:, 0]
    np.testing.assert_allclose(values, power, atol=0.05)
    assert found.formula.text() == "0.5*`wind speed`**2 + gust"


def test_a_formula_worse_than_a_constant_says_so_and_losses_say_their_units():
    head, x, y = trained(lambda x: 2 * x[:, 0] + x[:, 1], [2, 1], 100)
    found = formula(head, (x, y), progress=False)
    assert "standardised" not in str(found)
    assert "constant" not in str(found)
    np.testing.assert_allclose(found.constant_loss, y[800:].var(correction=0), rtol=1e-2)
    rise = Estimate(value=9.0, low=8.0, high=10.0)
    poor = replace(found, formula_loss=9.0, rise=rise)
    assert poor.worse_than_constant
    assert str(poor).endswith(f"do not use this formula: it is worse than a constant, {found.constant_loss:.4g}")
    for better in (
        {"formula_loss": found.constant_loss / 2},
        {"rise": None, "formula_loss": np.inf},
        {"allowed": 10.0},
    ):
        assert not replace(poor, **better).worse_than_constant
    mean, scale = y.mean(0).numpy(), y.std(0).numpy()
    after = Standardizer(mean=mean.astype(float), scale=scale.astype(float), names=("y",))
    scaled = formula(head, (x, y), outputs=after, progress=False)
    assert scaled.standardised
    assert "mse in standardised units on 200 held-out rows: model" in str(scaled)


def test_two_moons_keep_their_accuracy():
    """Example 4: pykan's formula falls from 1.0 to .887, having snapped edges of R2 .32 to .48."""
    points, classes = make_moons(2000, noise=0.1, random_state=0)
    x, y = torch.as_tensor(points, dtype=torch.float32), torch.as_tensor(classes)
    head = ki.KANHead(2, 2, generator=torch.Generator().manual_seed(0))
    ki.fit(head, (x[:1200], y[:1200]), optimizer="lbfgs", epochs=4, seed=0, progress=False)
    found = formula(head, (x, y), progress=False)
    with torch.no_grad():
        model = (head.eval()(x[1600:]).argmax(1) == y[1600:]).float().mean()
    written = (found.formula(points[1600:].astype(np.float32)).argmax(1) == classes[1600:]).mean()
    assert written >= float(model) - 0.005


def test_an_edge_that_nothing_fits_stays_a_spline():
    steps = torch.tensor([0.0, 1.0, -1.0, 0.5, -0.7, 1.0, -0.2, 0.6])

    def jumpy(x):
        return steps[((x[:, 0] + 1) * 4).long().clamp(0, 7)]

    head, x, y = trained(jumpy, [1, 1], 0, grid=30, n=3000)
    found = formula(head, (x, y), progress=False)
    assert not found.whole
    assert "phi_0_0_0" in found.formula.text()
    assert found.table()["why"].str.len().min() > 0
    assert found.formula_loss <= 1.05 * found.model_loss
    assert "stayed splines" in str(found)


def test_a_hybrid_gives_a_formula_of_its_units():
    source = torch.Generator().manual_seed(0)
    x = torch.randn(800, 12, 2, generator=source)
    backbone = torch.nn.GRU(2, 3, batch_first=True)
    for parameter in backbone.parameters():
        torch.nn.init.normal_(parameter, std=0.5, generator=source)
    model = ki.Hybrid(backbone, ki.KANHead(3, 1, generator=source))
    y = x[:, -1, :1] + x[:, -2, 1:]
    ki.fit(model, (x, y), epochs=5, seed=0, progress=False)
    found = formula(model, (x, y), progress=False)
    assert found.formula.input_names == ("unit 0", "unit 1", "unit 2")
    assert found.formula_loss <= 1.1 * found.model_loss
    with pytest.raises(InputError, match="backbone"):
        formula(model, (x, y), inputs=Standardizer.fit(x.numpy()), progress=False)


def test_formulas_of_a_head_are_its_function():
    head, x, _ = trained(start, [2, 1, 1], 0)
    written = head_formula(head, (("a", "b"), ("y",)))
    with torch.no_grad():
        np.testing.assert_allclose(written(x.numpy()), head.eval()(x).numpy(), atol=2e-5)


def test_bad_input():
    head, x, y = trained(start, [2, 1, 1], 0)
    with pytest.raises(DataError, match="target"):
        formula(head, x, progress=False)
    with pytest.raises(InputError, match="sine"):
        formula(head, (x, y), families=["sine"], progress=False)
    with pytest.raises(InputError, match="tolerance"):
        snap(head, (x, y), (x, y), tolerance=-1.0)
    with pytest.raises(ShapeError, match="Standardizer of 3"):
        formula(head, (x, y), inputs=Standardizer.fit(np.ones((5, 3))), progress=False)
    with pytest.raises(ModelError, match="no KAN"):
        formula(torch.nn.Linear(2, 1), (x, y), progress=False)
    with pytest.raises(DataError, match="too few"):
        formula(head, (x[:3], y[:3]), progress=False)


def test_training_that_later_rows_refuse_does_not_cost_the_formulas(monkeypatch):
    """Few rows for many numbers: a head overfits when it is trained on, with formulas or without."""

    def overfitted(head, *_):
        with torch.no_grad():
            for layer in head.kan_layers:
                layer.bias += 1.0
        return head

    head, x, y = trained(lambda x: x[:, 0] + x[:, 1] ** 2, [2, 1], 0)
    monkeypatch.setattr("kaninterp.symbolic.snapping.refitted", overfitted)
    found = snap(head, (x[:600], y[:600]), (x[600:800], y[600:800]), progress=False)
    assert [each.family for each in found.edges] == ["x", "x^2"]
    assert found.loss <= found.loss_before + 1e-3


def test_trials_that_are_spent_leave_splines_that_say_so():
    head, x, y = trained(lambda x: torch.sin(9 * x[:, 0]) + 0.02 * torch.sign(x[:, 0]), [1, 3, 1], 0, grid=20)
    whole = snap(head, (x[:600], y[:600]), (x[600:800], y[600:800]), tolerance=0, progress=False)
    few = snap(head, (x[:600], y[:600]), (x[600:800], y[600:800]), tolerance=0, trials=1, progress=False)
    assert sum(each.family is not None for each in few.edges) <= sum(each.family is not None for each in whole.edges)
    assert any("no trial is left of 1" in each.why for each in few.edges)
    with pytest.raises(InputError, match="trials"):
        snap(head, (x, y), (x, y), trials=0)


@pytest.mark.parametrize("loss", [torch.nn.MSELoss(), torch.nn.L1Loss(), "mae", "huber"])
def test_a_small_target_is_not_noise_whatever_the_loss_is_called(loss):
    head, x, y = trained(lambda x: 0.002 * x[:, 0] ** 2, [2, 1], 0, n=400, noise=1e-5)
    found = formula(head, (x, y), loss=loss, progress=False)
    assert found.formula.inputs_of() == (0,)
    assert found.formula_loss <= 1.1 * found.model_loss


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_head_at_every_time_step_gives_a_formula(outputs):
    source = torch.Generator().manual_seed(0)
    x = torch.rand(60, 5, 2, generator=source) * 2 - 1
    y = torch.stack([x[..., 0] ** 2, x[..., 1]], -1)[..., :outputs]
    model = ki.Hybrid(torch.nn.Identity(), ki.KANHead(2, outputs, domain=(-1, 1), generator=source), readout="all")
    ki.fit(model, (x, y), optimizer="lm", epochs=5, seed=0, validation=None, progress=False)
    found = formula(model, (x, y), progress=False)
    assert [found.formula.text(k) for k in range(outputs)] == ["`unit 0`**2", "`unit 1`"][:outputs]
    assert (found.rows, found.undefined) == (7, 0)  # 12 less the rows whose windows overlap


def test_a_head_too_large_for_levenberg_marquardt_is_trained_otherwise():
    source = torch.Generator().manual_seed(0)
    x = torch.rand(100, 8, generator=source) * 2 - 1
    y = x[:, :1] ** 2
    head = ki.KANHead(8, 1, (40,), domain=(-1, 1), generator=source)
    ki.fit(head, (x, y), optimizer="lbfgs", epochs=1, seed=0, progress=False)
    found = formula(head, (x, y), families=["x"], trials=1, progress=False)
    assert len(found.edges) == 8 * 40 + 40


@pytest.mark.parametrize("text", ["foo(u)", "besselj(1, u)", "v * u"])
def test_a_family_that_cannot_be_written_is_refused_before_training(text, monkeypatch):
    monkeypatch.setattr("kaninterp.symbolic.snapping.refitted", None)
    head, x, y = trained(start, [2, 1], 0, n=400)
    with pytest.raises(InputError, match="Family 'own'"):
        formula(head, (x, y), families=[Family(name="own", function=np.tanh, sympy=text)], progress=False)


@pytest.mark.parametrize(
    "odd", [{"tolerance": "a"}, {"tolerance": None}, {"families": 3}, {"inputs": 3}, {"outputs": np.ones(1)}]
)
def test_arguments_of_the_wrong_kind(odd):
    head, x, y = trained(start, [2, 1], 0, n=400)
    with pytest.raises(InputTypeError, match=next(iter(odd))):
        formula(head, (x, y), progress=False, **odd)


def test_edges_that_were_formulas_before_are_listed():
    head, x, y = trained(lambda x: torch.sin(3 * x[:, 0]) + x[:, 1] ** 2, [2, 1], 0, n=400)
    sine = EdgeFormula(family=FAMILIES["sin"], a=3.0, b=0.0, c=1.0, d=0.0)
    found = formula(with_formulas(head, {(0, 0, 0): sine}), (x, y), progress=False)
    assert [(each.edge, each.family) for each in found.edges] == [((0, 0, 0), "sin"), ((0, 0, 1), "x^2")]


def test_a_trial_that_diverges_is_a_trial_that_failed():
    source = torch.Generator().manual_seed(100)
    x = 60 * torch.rand(200, 2, generator=source) - 30
    head = ki.KANHead(2, 1, (2,), domain=(-30, 30), generator=torch.Generator().manual_seed(0))
    steep = ["exp", "x^5", "1/x^4", "tan"]
    found = formula(head, (x, (x[:, :1] > 0).float()), loss="bce", families=steep, trials=6, progress=False)
    assert np.isfinite(found.head_loss)
    assert len(found.edges) == 6


@pytest.mark.parametrize(("name", "low", "truth"), [("sqrt(x0)", 0.0, torch.sqrt), ("asin(x0)", -1.0, torch.asin)])
def test_rows_may_reach_the_border_of_a_domain(name, low, truth):
    x = low + (1 - low) * torch.rand(600, 1, generator=torch.Generator().manual_seed(0)).double()
    head = ki.KANHead(1, 1, generator=torch.Generator().manual_seed(0)).double()
    ki.fit(head, (x, truth(x)), optimizer="lm", epochs=30, seed=0, progress=False)
    found = ki.formula(head, (x, truth(x)), progress=False)
    assert found.formula.text() == name
    assert found.formula_loss < 1e-20


@pytest.mark.parametrize("seed", range(3))
def test_noise_makes_no_function_of_a_line(seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1000, 2, generator=generator).double()
    y = (torch.rand(1000, 1, generator=generator) < torch.sigmoid(1.5 * x[:, :1] - 2 * x[:, 1:])).double()
    head = ki.KANHead(2, 1, generator=torch.Generator().manual_seed(0)).double()
    ki.fit(head, (x, y), loss="bce", epochs=10, seed=0, progress=False)
    found = ki.formula(head, (x, y), loss="bce", progress=False)
    assert sympy.Poly(found.formula.sympy(), *found.formula.sympy().free_symbols).total_degree() == 1
    assert found.formula_loss <= found.model_loss


def test_a_spline_in_a_formula_is_centred():
    x = 2 * torch.rand(800, 1, generator=torch.Generator().manual_seed(0)).double() - 1
    head = ki.KANHead(1, 1, grid=20, generator=torch.Generator().manual_seed(0)).double()
    ki.fit(head, (x, 50 + torch.sin(9 * x**3)), optimizer="lm", epochs=10, seed=0, progress=False)
    found = head_formula(head, (("x0",), ("y0",)))
    [spline] = found.numeric.values()
    assert abs(spline(np.linspace(-1, 1, 101)).mean()) < 0.01
    np.testing.assert_allclose(found(x.numpy())[:, 0], head(x)[:, 0].detach().numpy(), atol=1e-9)


def test_a_product_is_found_as_one():
    """(x + y)^2 - (x - y)^2 bends both layers a little in training, each undoing the other's bend."""
    x = 2 * torch.rand(1000, 2, generator=torch.Generator().manual_seed(0)) - 1
    head = ki.KANHead(2, 1, hidden=(2,), generator=torch.Generator().manual_seed(0))
    ki.fit(head, (x, x[:, :1] * x[:, 1:]), optimizer="lm", epochs=40, seed=0, progress=False)
    found = ki.formula(head, (x, x[:, :1] * x[:, 1:]), progress=False)
    assert found.formula.text() == "x0*x1"
    assert found.formula_loss < 1e-12
