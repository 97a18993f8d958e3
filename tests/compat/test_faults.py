"""The silent faults of pykan (its issue numbers in brackets): none of them here."""

from __future__ import annotations

import copy
import os
import pickle
import random

import numpy as np
import pytest
import sympy
import torch
from torch import nn

from kaninterp.compat import KAN, create_dataset
from kaninterp.core.errors import InputError, ShapeError, StateError


def random_rows(n, width, seed=0):
    return torch.rand(n, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def small_fit(width, f, seed=0, rows=200, **options):
    data = create_dataset(f, n_var=width[0], train_num=rows, test_num=50, seed=seed)
    model = KAN(width=width, grid=3, seed=seed)
    model.fit(data, **{"steps": 5, "log": 0, **options})
    return model, data


@pytest.fixture(scope="module")
def bumpy():
    """y = sin(3 x0) + x1^2, inputs 2 and 3 do nothing."""
    return small_fit([4, 3, 1], lambda x: torch.sin(3 * x[:, [0]]) + x[:, [1]] ** 2, lamb=1e-3, steps=10)


def test_what_is_run_through_a_model_changes_no_score(bumpy):
    """1 (#508)."""
    model, data = bumpy
    before = [each.clone() for each in model.edge_scores]
    for batch in (data["test_input"][:3], torch.zeros(5, 4), 0.01 * random_rows(50, 4)):
        model(batch)
        model.eval()(batch)
        model.train()
    for old, new in zip(before, model.edge_scores, strict=True):
        torch.testing.assert_close(new, old, rtol=1e-9, atol=1e-12)
    assert model.prune().width == model.prune().width


def test_what_is_run_through_a_model_changes_no_training():
    """1: nor do domains go where such rows were."""
    data = create_dataset(lambda x: torch.sin(2 * x[:, [0]]), n_var=1, train_num=100, test_num=20)
    quiet, busy = KAN([1, 2, 1], seed=0), KAN([1, 2, 1], seed=0)
    busy(100 * random_rows(50, 1))
    losses = [model.fit(data, steps=3, log=0)["test_loss"] for model in (quiet, busy)]
    assert losses[0] == losses[1]
    torch.testing.assert_close(quiet.feature_score, busy.feature_score)


def test_the_first_batch_counts_until_a_fit():
    model = KAN([2, 3, 1], seed=0)
    with pytest.raises(StateError, match="seen no data"):
        model.plot()
    model(random_rows(20, 2))
    first = model.feature_score
    model(10 * random_rows(20, 2, seed=1))
    torch.testing.assert_close(model.feature_score, first)
    model.get_act(0.1 * random_rows(20, 2, seed=2))
    assert not torch.allclose(model.feature_score, first)


def test_many_outputs_do_not_thin_out_the_scores():
    """2: each of 40 outputs reads one input; every edge that carries one stays."""
    model = KAN([2, 40], grid=3, seed=0)
    with torch.no_grad():
        weight = model.head.layers[0].weight
        weight.zero_()
        for output in range(40):
            weight[output, -1, output % 2] = 1.0
    model(random_rows(300, 2))
    model.prune_edge()
    assert model.head.layers[0].mask.sum() == 40
    torch.testing.assert_close(model.feature_score, torch.ones(2, dtype=torch.float64))
    assert float(model.attribute(1, 0)[1]) == 0.0


def test_index_maps_survive_everything(bumpy, tmp_path):
    """3 (#551, #431): the right columns are read after any chain of prunes, copies and files."""
    model, data = bumpy
    x = data["test_input"]
    small = model.prune_input(active_inputs=[0, 1, 3])
    assert small.input_id.tolist() == [0, 1, 3]
    small = small.prune_input(active_inputs=[0, 2])  # positions among those that are read
    assert small.input_id.tolist() == [0, 3]
    small.saveckpt(tmp_path / "small")
    for again in (
        small,
        small.refine(6),
        small.copy(),
        KAN.loadckpt(tmp_path / "small"),
        pickle.loads(pickle.dumps(small)),
    ):
        assert again.input_id.tolist() == [0, 3]
        assert again.width[0] == 2
        torch.testing.assert_close(again(x), small(x), rtol=1e-4, atol=1e-5)
        moved = x.clone()
        moved[:, [1, 2]] = 7.0
        assert torch.equal(again(moved), again(x))
        moved[:, 0] = 0.3
        assert not torch.allclose(again(moved), again(x))
    assert [str(each) for each in small.symbolic_formula()[1]] == ["x_1", "x_4"]
    texts = [text.get_text() for text in small.plot().axes[0].texts]
    assert "x_4" in texts
    assert "x_2" not in texts
    for wrong in (random_rows(5, 2), random_rows(5, 3), random_rows(5, 5)):
        with pytest.raises(ShapeError):
            small(wrong)


def test_no_nan_after_prune_and_refine_with_a_constant_node():
    """4 (#416, #457, #396)."""
    data = create_dataset(lambda x: x[:, [0]], n_var=2, train_num=100, test_num=20)
    data["train_input"][:, 1] = 0.5
    data["test_input"][:, 1] = 0.5
    model = KAN([2, 3, 1], grid=3, seed=0)
    with torch.no_grad():
        model.head.layers[0].weight[1] = 0.0  # a dead node
    for step in (lambda m: m, lambda m: m.prune(node_th=0.0, edge_th=0.0), lambda m: m.refine(7)):
        model = step(model)
        losses = model.fit(data, steps=3, lamb=1e-3, update_grid=True, log=0)
        assert np.isfinite([losses["train_loss"], losses["test_loss"], losses["reg"]]).all()
        assert all(bool(parameter.isfinite().all()) for parameter in model.parameters())
        assert all(bool(each.isfinite().all()) for each in (*model.edge_scores, *model.node_scores))


def test_constants_of_removed_edges_stay(bumpy):
    """5: the mean output stays where an edge goes; the others see nothing."""
    model, data = bumpy
    x, offset = data["train_input"], 5.0
    model = model.copy()
    with torch.no_grad():
        model.head.layers[0].weight[:, :-1] += offset  # every edge has a constant part
    model.get_act(x)
    before = model.head.layers[0](x).mean(0)
    model.remove_edge(0, 2, 1)
    torch.testing.assert_close(model.head.layers[0](x).mean(0), before, rtol=1e-4, atol=1e-4)


def test_pruning_leaves_the_source_as_it_is(bumpy):
    """5 (#425, #340), and in place means: this model is returned."""
    model, _ = bumpy
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.prune()
    model.prune_node(0.5)
    model.prune_input(0.3)
    model.prune(mode="manual", active_neurons_id=[[0]])
    model.refine(6)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    again = model.copy()
    assert again.prune_edge(0.3) is again
    assert not all(bool(layer.mask.all()) for layer in again.head.layers)


def test_in_place_keeps_the_tensors_that_an_optimiser_holds(bumpy):
    model = bumpy[0].copy()
    held = list(model.parameters())
    model.remove_edge(0, 0, 1)
    model.prune_edge(0.05)
    assert all(a is b for a, b in zip(model.parameters(), held, strict=True))
    dst, src = divmod(int(model.edge_scores[0].argmax()), 4)
    model.fix_symbolic(0, src, dst, "sin")
    assert len(list(model.parameters())) == len(held) + 1
    model.unfix_symbolic(0, src, dst)
    assert len(list(model.parameters())) == len(held)


def test_formulas_are_of_live_edges_and_nothing_is_left_out():
    """6: no live edge becomes 0, splines are named, small edges are seen, pruned edges stay pruned."""

    def cubic(x):
        return 4 * x[:, [0]] ** 3 - 3 * x[:, [0]] + 1e-3 * x[:, [1]] ** 2

    model, _ = small_fit([2, 1], cubic, opt="LM", steps=10)
    found = model.auto_symbolic(lib=["0", "x", "x^2"])
    assert not found[0, 0, 0][2]  # a spline stays a spline
    name, r2, replaced = found[0, 1, 0]
    assert (name, replaced) == ("x^2", True)
    assert r2 > 0.9
    [expression], (x1, x2) = model.symbolic_formula()
    assert expression.atoms(sympy.Function) == {sympy.Function("phi_0_0_0")(x1)}
    assert x2 in expression.free_symbols
    assert model.suggest_symbolic(0, 0, 0, lib=["0", "x"])[0] == "x"
    model.remove_edge(0, 1, 0)
    model.unfix_symbolic_all()
    assert model.head.layers[0].mask.tolist() == [[1.0, 0.0]]
    with pytest.raises(InputError, match="removed"):
        model.fix_symbolic(0, 1, 0, "x")


def test_r2_is_that_of_the_formula_put_in():
    model, data = small_fit([1, 1], lambda x: torch.sin(3 * x), steps=10)
    poor = model.fix_symbolic(0, 0, 0, "x")
    assert 0.1 < poor < 0.9
    x, y = data["train_input"], data["train_label"]
    rest = (model(x) - y).detach().square().mean() / y.var(correction=0)
    assert 1 - float(rest) == pytest.approx(poor, abs=0.02)


def test_functions_stay_within_their_domain():
    """6: no log, sqrt or arctanh of what is not in their domain."""
    model, data = small_fit([1, 1], lambda x: x**3)
    for name in ("log", "sqrt", "arctanh", "1/x"):
        model.fix_symbolic(0, 0, 0, name)
        assert bool(model(data["train_input"]).isfinite().all()), name
        assert all(number.is_real for number in model.symbolic_formula()[0][0].atoms(sympy.Number))


@pytest.mark.parametrize("name", ["log", "1/x", "1/x^5", "sqrt", "1/sqrt(x)", "x^1.5"])
def test_a_function_as_it_is_has_to_be_defined_on_the_rows(name):
    """6: what is put in without fitting is refused where it has no value, and nothing is changed."""
    model, data = small_fit([2, 1], lambda x: x[:, [0]] ** 2 + x[:, [1]])
    before, held = model(data["train_input"]), dict(model.named_parameters())
    with pytest.raises(InputError, match=r"not defined on all of -(1|0\.9).* to (1|0\.9).*fit_params_bool=True"):
        model.fix_symbolic(0, 0, 0, name, fit_params_bool=False)
    assert torch.equal(model(data["train_input"]), before)
    assert all(value is held[key] for key, value in model.named_parameters())


@pytest.mark.parametrize(("name", "low", "fits"), [
    ("sqrt", 0.0, True), ("x^1.5", 0.0, True), ("log", 0.0, False), ("1/x", 0.0, False), ("log", 0.1, True),
    ("arcsin", -1.0, True), ("tan", -1.0, True), ("1/x", -1.0, False),
])  # fmt: skip
def test_a_function_may_stop_where_the_rows_do(name, low, fits):
    x = torch.linspace(low, 1, 101)[:, None]
    model = KAN([1, 1], grid=3, seed=0, grid_range=(low, 1))
    model.fit({"train_input": x, "train_label": x, "test_input": x, "test_label": x}, opt="LM", steps=3, log=0)
    if not fits:
        with pytest.raises(InputError, match="not defined"):
            model.fix_symbolic(0, 0, 0, name, fit_params_bool=False)
        return
    model.fix_symbolic(0, 0, 0, name, fit_params_bool=False)
    [expression], [symbol] = model.symbolic_formula()
    answers = [float(expression.subs(symbol, float(each))) for each in x]  # a complex number is no float
    np.testing.assert_allclose(model(x).detach().numpy().ravel(), answers, atol=1e-3)  # arcsin stops short of -1


def test_shapes_of_all_kinds(bumpy):
    """7: 3-D input, a batch of 1, no rows; a wrong width is refused (also #204)."""
    model, _ = bumpy
    x = random_rows(24, 4)
    torch.testing.assert_close(model(x.view(4, 6, 4)).reshape(24, 1), model(x))
    assert model(x[:1]).shape == (1, 1)
    assert model(x[:0]).shape == (0, 1)
    for wrong in (random_rows(5, 3), random_rows(5, 5), torch.zeros(())):
        with pytest.raises(ShapeError):
            model(wrong)


def test_one_row_one_column_constant_columns():
    """7."""
    for x in (torch.zeros(1, 1), torch.zeros(30, 1), torch.full((30, 3), 2.0)):
        model = KAN([x.shape[1], 2, 1], seed=0)
        y = x[:, [0]] + 1.0
        losses = model.fit({"train_input": x, "train_label": y, "test_input": x, "test_label": y}, steps=3, log=0)
        assert np.isfinite(losses["train_loss"]).all()
        assert bool(model.feature_score.isfinite().all())
        model.plot()


def test_labels_without_a_second_dimension_are_not_broadcast():
    data = create_dataset(lambda x: x[:, 0], n_var=2, train_num=100, test_num=20)
    for part in ("train", "test"):
        data[f"{part}_label"] = data[f"{part}_label"][:, 0]
    assert KAN([2, 1], seed=0).fit(data, steps=5, log=0)["test_loss"][-1] < 1e-2


def test_no_seeding_no_files(tmp_path, monkeypatch):
    """8 (#62, #210)."""
    monkeypatch.chdir(tmp_path)
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002 (it must not move)
    model, _ = small_fit([2, 3, 1], lambda x: x[:, [0]], opt="Adam", batch=50)
    model.prune(node_th=0.0, edge_th=0.0)
    model.plot()
    model.auto_symbolic()
    assert torch.equal(torch.get_rng_state(), states[0])
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), states[1], strict=True))  # noqa: NPY002
    assert random.getstate() == states[2]
    assert os.listdir(tmp_path) == []
    model.saveckpt("kept")
    KAN.loadckpt("kept")
    assert torch.equal(torch.get_rng_state(), states[0])
    assert sorted(os.listdir(tmp_path)) == ["kept_head.safetensors", "kept_rows.npz"]


def test_the_same_seed_gives_the_same_model_whatever_happened_before():
    """8."""
    results = []
    for noise in (0, 1):
        torch.manual_seed(noise)
        model, _ = small_fit([2, 3, 1], lambda x: x[:, [0]] * x[:, [1]], opt="Adam", batch=50, seed=100)
        results.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    assert torch.equal(*results)
    assert not torch.equal(*[KAN([2, 3, 1], seed=seed).head.layers[0].weight for seed in (0, 1)])


def test_copies_and_pickles(bumpy):
    """8: deepcopy, pickle and state_dict."""
    model, data = bumpy
    x = data["test_input"]
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(again(x), model(x))
        torch.testing.assert_close(again.feature_score, model.feature_score)
    other = KAN([4, 3, 1], grid=3, seed=1)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(x), model(x))


def test_another_number_type(bumpy):
    model, data = bumpy
    double = model.copy().double()
    torch.testing.assert_close(double.feature_score, model.feature_score, rtol=1e-4, atol=1e-6)
    assert double.get_act()[0].dtype == torch.float64
    assert double.fit(data, steps=2, log=0)["test_loss"][-1] < 1.0
    assert double.prune(node_th=0.0, edge_th=0.0)(data["test_input"].double()).dtype == torch.float64


def test_every_function_of_the_package_takes_it(bumpy):
    import kaninterp as ki

    model, data = bumpy
    for each in (model, model.head):
        trace = ki.trace(each, data["test_input"], progress=False)
        assert trace.card.widths == (4, 3, 1)


def test_train_and_eval_keep_their_meaning_in_a_hybrid():
    """9 (#6): masks and knots are no parameters, .train and .eval reach everything."""
    backbone = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5), KAN([2, 3, 1], seed=0))
    assert not backbone.eval()[2].head.layers[0].training
    assert not backbone.training
    assert backbone.train()[2].head.layers[0].training
    kan = backbone[2]
    assert kan.train(False) is kan
    assert not kan.training
    names = {name.rsplit(".", 1)[-1] for name, _ in kan.named_parameters()}
    assert names == {"weight", "bias"}
    with pytest.raises(InputError, match="dataset"):
        kan.train(5)
