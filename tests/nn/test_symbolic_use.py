"""A head with formulas is measured, trained, pruned and reported as any other."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import kaninterp as ki
from kaninterp.adapters import as_view
from kaninterp.core.edge_formula import EdgeFormula
from kaninterp.core.families import FAMILIES
from kaninterp.measure import ablate
from kaninterp.nn import column_norms, formulas_of, proximal_step_, prune_head, with_formulas, without_formulas
from kaninterp.pruning import fine_tune, refit
from kaninterp.pruning.folding import _fold_edges
from kaninterp.pruning.schedules import dynamic, path
from kaninterp.pruning.schedules.dynamic import fade_
from kaninterp.pruning.schedules.proximal import edge_norms


def formula(name, a=1.0, b=0.0, c=1.0, d=0.0):
    return EdgeFormula(family=FAMILIES[name], a=a, b=b, c=c, d=d)


def table(rows=300, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, size=(rows, 4)).astype("float32")
    return X, (np.sin(2 * X[:, 0]) + X[:, 1] ** 2 + 0.02 * rng.normal(size=rows)).astype("float32")


def one_layer(c=1.0):
    """The truth as formulas on the columns that count; splines, trained, on the others."""
    data = table()
    head = ki.KANHead(4, 1, generator=torch.Generator().manual_seed(0))
    ki.fit(head, data, epochs=4, seed=0, progress=False)
    return with_formulas(head, {(0, 0, 0): formula("sin", 2.0, c=c), (0, 0, 1): formula("x^2", c=c)}), data


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_fit_finds_the_numbers(optimizer):
    head, data = one_layer()
    off = {(0, 0, 0): formula("sin", 1.5, 0.1, 0.7), (0, 0, 1): formula("x^2", 0.8, 0.1, 0.8)}
    head = with_formulas(head, off).train()
    ki.fit(head, data, epochs=25 if optimizer == "adam" else 8, lr=0.05, optimizer=optimizer, seed=0, progress=False)
    x = np.linspace(-1, 1, 50)
    for edge, truth in {(0, 0, 0): np.sin(2 * x), (0, 0, 1): x**2}.items():
        found = formulas_of(head)[edge](x)
        assert np.abs(found - found.mean() - truth + truth.mean()).max() < 0.05
    assert not head.kan_layers[0].weight[0, :, :2].any()


def test_a_trace_has_the_moments_of_the_formulas():
    head, (X, y) = one_layer()
    trace = ki.trace(head, (X, y), progress=False)
    edges = head.double().kan_layers[0].edges(torch.tensor(X).double()).detach().numpy()
    found = trace.layers[0].edges
    np.testing.assert_allclose(np.sqrt(found.m2 / found.count), edges.std(0), rtol=1e-4)
    np.testing.assert_allclose(trace.layers[0].edges.mean, edges.mean(0), atol=1e-5)
    view = as_view(head)
    assert ("formulas", "2 edges") in view.options
    assert not view.layers[0].untouched[0, :2].any()
    assert not view.layers[0].start[0, :2].any()


def test_the_fingerprint_covers_families_and_numbers():
    head, _ = one_layer()
    cosine = with_formulas(head, {(0, 0, 0): formula("cos", 2.0)})
    other = with_formulas(head, {(0, 0, 0): formula("sin", 2.5)})
    prints = {as_view(each).fingerprint() for each in (head, cosine, other, without_formulas(head))}
    assert len(prints) == 4
    assert as_view(copy.deepcopy(head)).fingerprint() == as_view(head).fingerprint()


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_measures_report_and_prune():
    head, data = one_layer()
    before = state(head)
    analysis = ki.analyze(ki.trace(head, data, progress=False))
    assert "Formulas" in ki.report(head, data, progress=False).to_html()
    ablation, _ = ablate(head, data, progress=False)
    assert (ablation.low[:2] > 0).all()
    found = ki.probe(head, data, permutations=4, progress=False)
    assert found is not None
    assert all(torch.equal(before[name], value) for name, value in head.state_dict().items())
    small, _ = ki.prune(head, analysis.plan)
    assert [(small.select or range(4))[edge[2]] for edge in formulas_of(small)] == [0, 1]
    chosen, _ = ki.prune(head, data, progress=False)
    assert len(formulas_of(chosen)) == 2


def test_a_hybrid_on_windows_and_a_classifier():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 5, 3)).astype("float32")
    labels = (X[:, -1, 0] > 0).astype("int64")

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(3, 4, batch_first=True)
            self.head = ki.KANHead(4, 2, (3,), generator=torch.Generator().manual_seed(0))

        def forward(self, x):
            return self.head(self.lstm(x)[0][:, -1])

    torch.manual_seed(0)
    model = Model()
    model.head.calibrate(torch.randn(50, 4))
    model.head = with_formulas(model.head, {(0, 0, 0): formula("tanh"), (1, 1, 2): formula("exp", 0.5)})
    ki.fit(model, (X, labels), loss="cross_entropy", epochs=3, seed=0, progress=False)
    assert len(ki.analyze(ki.trace(model, (X, labels), progress=False)).trace.layers) == 2
    assert ki.attribute(model, X, progress=False) is not None


def test_refit_keeps_formulas_and_uses_what_they_leave():
    head, (X, _) = one_layer()
    keep = [np.array([[True, False, True, True]])]
    small, _ = prune_head(head, keep)
    again, report = refit(small, head, X, progress=False)
    assert report.after <= report.before
    assert list(formulas_of(again)) == [(0, 0, 0)]
    assert formulas_of(again)[0, 0, 0].a == 2.0


def test_fine_tuning_trains_a_number_that_is_zero():
    head, data = one_layer()
    head = with_formulas(head, {(0, 0, 0): formula("sin", 2.0, b=0.0, d=0.0)})
    tuned, _ = fine_tune(head, data, epochs=3, seed=0, progress=False)
    assert formulas_of(tuned)[0, 0, 0].b != 0


def test_a_column_that_only_a_formula_reads_counts():
    head, _ = one_layer(c=0.3)
    assert column_norms(head)[0].item() == pytest.approx(0.3)
    proximal_step_(head, torch.tensor([10.0, 0.1, 0.0, 0.0]))
    found = formulas_of(head)
    assert found[0, 0, 0].c == 0
    assert found[0, 0, 1].c == pytest.approx(0.2)
    assert column_norms(head)[0].item() == 0


def test_an_edge_that_fades_is_a_formula_too():
    head, data = one_layer()
    plan = ki.analyze(ki.trace(head, data, progress=False)).plan
    keep = np.array([[False, True, True, True]])
    plan = replace(plan, mask=ki.EdgeMask.of([keep]), constants=(np.array([[0.25, 0, 0, 0]]),))
    bias = head.kan_layers[0].bias.item()
    fade_(head, plan, 0.5)
    assert formulas_of(head)[0, 0, 0].c == 0.5
    assert head.kan_layers[0].bias.item() == pytest.approx(bias + 0.125)
    assert formulas_of(head)[0, 0, 1].c == 1.0


def test_the_path_keeps_formulas():
    head, data = one_layer()
    assert edge_norms(head)[0][0, 0] == 1.0
    run = path(head, data, (8.0,), epochs=4, debias=1, seed=0, progress=False)
    assert len(formulas_of(run.model)) == 2


def test_dynamic_pruning_runs():
    head, data = one_layer()
    run = dynamic(head, data, epochs=3, seed=0, progress=False)
    assert formulas_of(run.model)


def test_a_column_folds_into_a_formula():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=400).astype("float32")
    X = np.stack((x, 2 * x, rng.uniform(-1, 1, size=400).astype("float32")), 1)
    head = ki.KANHead(3, 1, generator=torch.Generator().manual_seed(0)).calibrate(torch.tensor(X)).eval()
    head = with_formulas(head, {(0, 0, 0): formula("x^2")})
    before = head(torch.tensor(X)).detach()
    new = copy.deepcopy(head)
    with torch.no_grad():
        _fold_edges(new, torch.tensor(X), {1: (0,)})
    assert not formulas_of(new)
    torch.testing.assert_close(new(torch.tensor(X)).detach(), before, atol=2e-3, rtol=0)
