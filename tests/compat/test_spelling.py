"""Old and new spellings of pykan, and what is refused."""

from __future__ import annotations

import inspect
import json

import numpy as np
import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from torch import nn

import kaninterp as ki
from kaninterp.compat import KAN, create_dataset, create_dataset_from_data, ex_round
from kaninterp.compat.spelling import NOT_HERE, active_nodes, families_given, widths_of
from kaninterp.core.edge_formula import EdgeFormula
from kaninterp.core.errors import (
    DataError,
    FileFormatError,
    InputError,
    InputTypeError,
    MissingFileError,
    NamesError,
    NothingLeftError,
    ShapeError,
)  # fmt: skip


@pytest.fixture(scope="module")
def dataset():
    return create_dataset(lambda x: x[:, [0]] ** 2 + x[:, [1]], n_var=2, train_num=200, test_num=50)


@pytest.fixture(scope="module")
def model(dataset):
    model = KAN([2, 3, 2, 1], grid=3, seed=0)
    model.fit(dataset, steps=3, lamb=1e-3, log=0)
    return model


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5), st.data())
def test_widths_of_both_versions_are_one(widths, data):
    mixed = [data.draw(st.sampled_from([n, np.int64(n), [n, 0], (n, 0)])) for n in widths]
    assert widths_of(mixed) == tuple(widths)
    at = data.draw(st.integers(0, len(widths) - 1))
    mixed[at] = [widths[at], 1]
    with pytest.raises(InputError, match="multiplication"):
        widths_of(mixed)


@given(st.lists(st.integers(1, 6), min_size=3, max_size=5), st.data())
def test_both_forms_of_active_neurons_keep_the_same_nodes(widths, data):
    hidden = [data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=n, unique=True)) for n in widths[1:-1]]
    every = [list(range(widths[0])), *hidden, list(range(widths[-1]))]
    assert active_nodes(every, widths) == active_nodes(hidden, widths)
    assert active_nodes(hidden, widths) == [(layer, node) for layer, nodes in enumerate(hidden, 1) for node in nodes]
    with pytest.raises(InputError, match="lists"):
        active_nodes(every[:-1], widths) if len(widths) > 3 else active_nodes(every[:2], widths)


def test_manual_pruning_keeps_what_is_listed(model, dataset):
    ids = [[0, 2], [1]]
    small = model.prune(mode="manual", active_neurons_id=[[0, 1], *ids, [0]])
    assert small.head.node_ids == ((0, 1), (0, 2), (1,), (0,))
    x = dataset["test_input"]
    torch.testing.assert_close(small(x), model.prune_node(mode="manual", active_neurons_id=ids)(x))


def test_nodes_can_be_removed_on_one_side(model):
    up, down = model.copy(), model.copy()
    up.remove_node(1, 0, mode="up")
    down.remove_node(1, 0, mode="down")
    assert not up.head.layers[1].mask[:, 0].any()
    assert not down.head.layers[0].mask[0].any()
    x = torch.zeros(1, 2)
    assert torch.allclose(down(x + 0.4) - up(x + 0.4), down(x) - up(x), atol=1e-5)  # both are without the node


def test_train_is_fit_when_it_gets_data(dataset):
    results = []
    for call in ("fit", "train"):
        model = KAN([2, 1], seed=0)
        results.append(getattr(model, call)(dataset, opt="LBFGS", steps=2, log=0))
        getattr(model, call)(dataset=dataset, opt="LBFGS", steps=1, log=0)
    assert results[0] == results[1]


def test_optimizers_and_losses(dataset):
    losses = {}
    for opt, options in (("LBFGS", {}), ("Adam", {"lr": 0.02, "batch": 50, "steps": 200}), ("LM", {})):
        model = KAN([2, 1], grid=3, seed=0)
        losses[opt] = model.fit(dataset, opt=opt, **{"steps": 10, "log": 0, **options})["test_loss"][-1]
    assert max(losses.values()) < 0.05
    by_mean, by_rows, by_module = (
        KAN([2, 1], seed=0).fit(dataset, steps=2, loss_fn=loss, log=0)
        for loss in (lambda y, t: ((y - t) ** 2).mean(), lambda y, t: (y - t) ** 2, nn.MSELoss())
    )
    assert by_mean["train_loss"] == pytest.approx(by_rows["train_loss"], rel=0.02)
    assert by_mean["train_loss"] == pytest.approx(by_module["train_loss"], rel=0.02)


def test_labels_are_never_broadcast_against_the_outputs(dataset):
    flat = {name: part[:, 0] if "label" in name else part for name, part in dataset.items()}

    def error(y, t):
        return ((y - t) ** 2).mean()

    for wrong in (flat, {**dataset, "test_label": flat["test_label"]}):
        model = KAN([2, 1], seed=0)
        weights = [each.clone() for each in model.parameters()]
        for loss in (error, nn.functional.mse_loss):
            with pytest.raises(ShapeError, match=r"_label'\] has shape \(\d+,\).*labels\[:, None\]"):
                model.fit(wrong, steps=1, loss_fn=loss, log=0)
        assert all(torch.equal(old, new) for old, new in zip(weights, model.parameters(), strict=True))
    expected = KAN([2, 1], seed=0).fit(dataset, steps=2, log=0)
    for loss in (None, nn.MSELoss()):  # these bring both to one shape
        found = KAN([2, 1], seed=0).fit(flat, steps=2, loss_fn=loss, log=0)
        assert found["test_loss"] == pytest.approx(expected["test_loss"], rel=1e-3)
    classes = {name: (part[:, 0] > 0.5).long() if "label" in name else part for name, part in dataset.items()}
    KAN([2, 2], seed=0).fit(classes, steps=1, loss_fn=nn.functional.cross_entropy, log=0)


def test_adam_makes_one_step_per_step(dataset):
    """With all rows in a step the weights are those of torch's own Adam."""
    model, twin = KAN([2, 1], seed=0), KAN([2, 1], seed=0)
    model.fit(dataset, opt="Adam", lr=0.01, steps=5, update_grid=False, log=0)
    adam = torch.optim.Adam(twin.parameters(), lr=0.01)
    for _ in range(5):
        adam.zero_grad()
        (twin(dataset["train_input"]) - dataset["train_label"]).square().mean().backward()
        adam.step()
    torch.testing.assert_close(model.head.layers[0].weight, twin.head.layers[0].weight, rtol=1e-4, atol=1e-5)


def test_classes(dataset):
    x = dataset["train_input"]
    labels = (x[:, 0] > 0).long()
    data = {"train_input": x, "train_label": labels, "test_input": x, "test_label": labels}
    model = KAN([2, 2], grid=3, seed=0)

    def accuracy():
        assert not model.head.training
        return (model(x).argmax(1) == labels).float().mean()

    losses = model.fit(data, steps=5, loss_fn=nn.CrossEntropyLoss(), metrics=(accuracy,), log=0)
    assert len(losses["accuracy"]) == 5
    assert losses["accuracy"][-1] > 0.95


def test_penalty_is_felt_and_reported(dataset):
    found = [KAN([2, 3, 1], seed=0).fit(dataset, steps=5, lamb=lamb, log=0)["reg"][-1] for lamb in (0.0, 1.0)]
    assert found[1] < 0.5 * found[0]


def test_every_lambda_is_felt_and_reported(dataset):
    plain = KAN([2, 3, 1], seed=0).fit(dataset, steps=3, lamb=0.01, lamb_l1=0, lamb_entropy=0, log=0)
    assert plain["reg"][-1] == 0.0
    for name in ("lamb_l1", "lamb_entropy", "lamb_coef", "lamb_coefdiff"):
        one = {"lamb_l1": 0.0, "lamb_entropy": 0.0, name: 1.0}
        free, pushed = (KAN([2, 3, 1], seed=0).fit(dataset, steps=3, lamb=lamb, log=0, **one) for lamb in (0.0, 0.1))
        assert pushed["reg"][-1] < free["reg"][-1], name
    with pytest.raises(InputError, match="LM"):
        KAN([2, 1]).fit(dataset, opt="LM", lamb=0.1, lamb_coef=1.0)


def test_coefficients_are_weighed_as_in_pykan(dataset):
    """Sums over inputs and coefficients of means over outputs."""
    model = KAN([2, 3], grid=4, seed=0)
    coef = model.head.layers[0].coef.detach()  # (K, out, in)
    x, y = dataset["train_input"], dataset["train_input"][:, [0, 0, 0]]
    data = {"train_input": x, "train_label": y}
    losses = model.fit(
        data, opt="Adam", lr=0.0, steps=1, lamb=1e-9, lamb_l1=0, lamb_entropy=0, lamb_coef=1.0, lamb_coefdiff=10.0,
        update_grid=False, log=0,
    )  # fmt: skip
    expected = coef.abs().mean(1).sum() + 10 * coef.diff(dim=0).abs().mean(1).sum()
    assert losses["reg"][-1] == pytest.approx(float(expected), rel=1e-5)


def test_refining_and_taking_over_keep_the_function(model, dataset):
    x = dataset["train_input"]
    torch.testing.assert_close(model.refine(6)(x), model(x), rtol=1e-4, atol=1e-4)
    other = KAN([2, 3, 2, 1], grid=12, seed=5).initialize_from_another_model(model, x)
    assert other.grid == 12
    torch.testing.assert_close(other(x), model(x), rtol=1e-4, atol=1e-4)


def test_edges_as_numbers(model, dataset):
    values = model.get_act(dataset)
    assert [each.shape for each in values] == [(200, 2), (200, 3), (200, 2), (200, 1)]
    x, y = model.get_fun(0, 1, 2)
    assert (np.diff(x) >= 0).all()
    assert x.shape == y.shape == (200,)
    layer = model.head.layers[0]
    expected = layer.edges(values[0]).detach()[:, 2, 1].double().numpy()
    np.testing.assert_allclose(np.sort(y), np.sort(expected), atol=1e-6)
    assert model.get_range(0, 1, 2)[:2] == (x[0], x[-1])


def test_attribution(model):
    scores = model.attribute()
    torch.testing.assert_close(model.feature_score, torch.from_numpy(scores))
    np.testing.assert_allclose(model.attribute(3, 0), scores)
    to_first = model.attribute(1, 0)
    np.testing.assert_allclose(to_first, model.attribute(l=1, i=0, out_score=None, plot=False))
    np.testing.assert_allclose(model.attribute(1, out_score=[1, 0, 0]), to_first)
    np.testing.assert_allclose(model.attribute(1, 0, plot=True), to_first)
    figure = plt.gcf()
    assert [bar.get_height() for bar in figure.axes[0].patches] == pytest.approx(to_first.tolist())
    plt.close(figure)
    for wrong in ((0, 0), (4, 0), (1, 3)):
        with pytest.raises(InputError):
            model.attribute(*wrong)
    with pytest.raises(ShapeError):
        model.attribute(1, out_score=[1.0])


def test_suggestion_has_four_parts(model):
    name, fun, r2, complexity = model.suggest_symbolic(0, 1, 0, lib=["x", "x^2", "x^0.5"])
    assert name in ("x", "x^2", "sqrt")
    assert isinstance(fun, EdgeFormula)
    assert r2 <= 1
    assert complexity in (1, 2)
    assert [family.name for family in families_given(["x^0.5", "sqrt"])] == ["sqrt"]


@pytest.mark.parametrize("name", ["suggest_symbolic", "fix_symbolic", "auto_symbolic", "symbolic_formula"])
def test_symbolic_calls_take_arguments_in_the_order_of_pykan(name):
    kan = pytest.importorskip("kan")
    theirs = list(inspect.signature(getattr(kan.KAN, name)).parameters)
    ours = [
        each.name
        for each in inspect.signature(getattr(KAN, name)).parameters.values()
        if each.kind != each.KEYWORD_ONLY
    ]
    assert ours == theirs


def test_suggestion_takes_all_that_pykan_takes_by_position(model):
    asked = model.suggest_symbolic(1, 0, 0, (-3, 3), (-3, 3), None, 3, False, np.log2, abs, 0.8)
    assert asked[::2] == model.suggest_symbolic(1, 0, 0)[::2]
    with pytest.raises(TypeError, match="unexpected"):
        model.suggest_symbolic(1, 0, 0, weight="0.8")


def test_every_name_of_the_library_of_pykan_is_a_function_here():
    library = pytest.importorskip("kan.utils").SYMBOLIC_LIB
    u = np.linspace(0.1, 0.9, 9)
    for name, parts in library.items():
        [family] = families_given([name])
        np.testing.assert_allclose(family.function(u), parts[0](torch.from_numpy(u)).numpy(), rtol=1e-12, err_msg=name)
    assert len(families_given(library)) == len(library) - 2  # two spellings of sqrt, and of 1/sqrt(x)


def test_a_power_that_only_pykan_has(tmp_path):
    data = create_dataset(lambda x: 1 / x**5, n_var=1, ranges=[1, 2], train_num=200, test_num=50)
    model = KAN([1, 1], grid=5, grid_range=(1, 2), seed=0)
    model.fit(data, opt="LM", steps=10, log=0)
    copied = model.copy()
    copied.fix_symbolic(0, 0, 0, "1/x^5", fit_params_bool=False)
    model.auto_symbolic(lib=["1/x^5", "x"])
    [expression], [x] = model.symbolic_formula()
    assert float(expression.subs(x, 1.5)) == pytest.approx(1.5**-5, abs=1e-3)
    assert expression.atoms(sympy.Pow)
    model.saveckpt(tmp_path / "m")
    again = KAN.loadckpt(tmp_path / "m")
    assert torch.equal(again(data["test_input"]), model(data["test_input"]))
    [plain], [x] = copied.symbolic_formula()
    assert (plain - x**-5).is_number
    torch.testing.assert_close(copied(torch.tensor([[1.5]])).item(), float(plain.subs(x, 1.5)), rtol=1e-5, atol=0)


def test_formula_in_other_units(dataset):
    model = KAN([2, 1], grid=3, seed=0)
    model.fit(dataset, opt="LM", steps=10, log=0)
    model.auto_symbolic(lib=["x", "x^2"])
    a, b = sympy.symbols("a b")
    plain, variables = model.symbolic_formula(var=["a", b])
    assert variables == [a, b]
    scaled, _ = model.symbolic_formula(var=[a, b], normalizer=([1, 2], [3, 4]), output_normalizer=([5], [6]))
    at = {a: 0.7, b: -0.2}
    inner = {a: (0.7 - 1) / 3, b: (-0.2 - 2) / 4}
    assert float(scaled[0].subs(at)) == pytest.approx(6 * float(plain[0].subs(inner)) + 5)
    with pytest.raises(ShapeError):
        model.symbolic_formula(var=["a"])


def test_plots_and_folders(model, tmp_path, dataset):
    assert (
        model.plot(folder=tmp_path / "figures", in_vars=["a", "b"], out_vars=["$y$"], title="t", tick=True) is not None
    )
    assert [each.name for each in (tmp_path / "figures").iterdir()] == ["network.svg"]
    for metric in ("forward_n", "forward_u", "backward"):
        model.plot(metric=metric)
    KAN([2, 1], seed=0).fit(dataset, steps=3, save_fig=True, save_fig_freq=2, img_folder=tmp_path / "video", log=0)
    assert sorted(each.name for each in (tmp_path / "video").iterdir()) == ["0.png", "2.png"]
    for wrong in ({"metric": "size"}, {"in_vars": ["a"]}, {"beta": -1}):
        with pytest.raises((InputError, NamesError)):
            model.plot(**wrong)


def test_files(model, tmp_path, dataset):
    path = tmp_path / "kept"
    model.saveckpt(path)
    again = KAN.loadckpt(path)
    assert torch.equal(again(dataset["test_input"]), model(dataset["test_input"]))
    torch.testing.assert_close(again.feature_score, model.feature_score)
    with pytest.raises(MissingFileError):
        KAN.loadckpt(tmp_path / "other")
    (tmp_path / "kept_rows.npz").write_bytes(b"nothing")
    with pytest.raises(FileFormatError):
        KAN.loadckpt(path)


def test_what_is_not_trained_stays_so_on_disk(tmp_path, dataset):
    path = tmp_path / "kept"
    model = KAN([2, 3, 1], bias_trainable=False, seed=0)
    model.head.layers[1].weight.requires_grad_(False)
    model.saveckpt(path)
    again = KAN.loadckpt(path)
    flags = [[(name, each.requires_grad) for name, each in one.named_parameters()] for one in (model, again)]
    assert flags[0] == flags[1]
    bias, weight = again.head.layers[0].bias.clone(), again.head.layers[1].weight.clone()
    again.fit(dataset, steps=2, update_grid=False, log=0)
    assert torch.equal(again.head.layers[0].bias, bias)
    assert torch.equal(again.head.layers[1].weight, weight)
    assert again.copy().head.layers[0].bias.requires_grad is False
    KAN([2, 3, 1], seed=0).saveckpt(path)
    assert all(each.requires_grad for each in KAN.loadckpt(path).parameters())


@pytest.mark.parametrize(
    "wrong",
    [{"frozen": "layers.0.bias"}, {"frozen": ["layers.9.bias"]}, {"frozen": [["layers.0.bias"]]}, {"frozen": None},
     {"frozen": {"layers.0.bias": 1}}, {"seed": "1"}, {"seed": -1}, {"seed": True}],
)  # fmt: skip
def test_what_a_file_says_is_checked(tmp_path, wrong):
    KAN([2, 3, 1], seed=0).saveckpt(tmp_path / "kept")

    def written(facts):
        text = np.frombuffer(json.dumps({"version": 1, **facts}).encode(), dtype=np.uint8)
        np.savez(tmp_path / "kept_rows.npz", rows=np.zeros((0, 2)), facts=text)

    written(wrong)
    with pytest.raises(FileFormatError, match="kept_rows"):
        KAN.loadckpt(tmp_path / "kept")
    written({"seed": 3})  # as it was written before frozen parameters were kept
    again = KAN.loadckpt(tmp_path / "kept")
    assert again.seed == 3
    assert all(each.requires_grad for each in again.parameters())


def test_arguments_of_the_first_version_are_understood(model):
    KAN([2, 1], noise_scale_base=0.1)
    KAN([1, 1], grid=200, sp_trainable=False, sb_trainable=False, base_fun="zero")  # no base, nothing to hold still
    model.plot(mode="supervised", out_vars_offset=0.08)
    [whole], _ = model.symbolic_formula()
    [rounded], _ = model.symbolic_formula(floating_digit=2, simplify=False)
    numbers = rounded.atoms(sympy.Float)
    assert numbers
    assert all(abs(float(each) - round(float(each), 2)) < 1e-12 for each in numbers)
    assert whole != rounded
    assert model.symbolic_formula(simplify=True)[0][0].free_symbols == whole.free_symbols


def test_an_interrupted_fit_measures_on_the_rows_it_was_trained_on(dataset):
    def interrupted():
        raise KeyboardInterrupt

    model = KAN([2, 3, 1], seed=0)
    model(dataset["train_input"][:20])
    with pytest.raises(KeyboardInterrupt):
        model.fit(dataset, steps=3, metrics=[interrupted], log=0)
    assert len(model.get_act()[0]) == len(dataset["train_input"])
    with pytest.raises(InputError):
        model.fit({name: part[:7] for name, part in dataset.items()}, opt="SGD", log=0)
    assert len(model.get_act()[0]) == len(dataset["train_input"])


def test_metrics_may_carry_a_gradient(dataset):
    model = KAN([2, 1], seed=0)

    def error():
        return (model(dataset["train_input"]) - dataset["train_label"]).square().mean()

    losses = model.fit(dataset, steps=2, metrics=[error], log=0)
    assert losses["error"][-1] == pytest.approx(losses["train_loss"][-1] ** 2, rel=1e-4)


def test_taking_over_keeps_number_type_and_columns(model, dataset):
    x = dataset["train_input"]
    double = KAN([2, 3, 2, 1], grid=6, seed=1).double().initialize_from_another_model(model)
    torch.testing.assert_close(double(x.double()), model(x).double(), rtol=1e-4, atol=1e-4)
    fewer = KAN([3, 2, 1], seed=0)
    fewer(torch.rand(50, 3, generator=torch.Generator().manual_seed(0)))
    fewer = fewer.prune_input(active_inputs=[0, 2])
    taken = KAN([2, 2, 1], seed=0)
    with pytest.raises(ShapeError, match="3"):  # the model it takes over reads two of three columns
        taken.initialize_from_another_model(fewer, x[:, :2])
    assert taken.head.in_features == 2
    rows = torch.rand(40, 3, generator=torch.Generator().manual_seed(1))
    assert taken.initialize_from_another_model(fewer, rows).get_act()[0].shape == (40, 2)


def test_what_is_frozen_stays_so():
    model = KAN([2, 3, 1], bias_trainable=False)
    model(torch.rand(50, 2, generator=torch.Generator().manual_seed(0)))
    for each in (model.copy(), model.refine(6), model.prune(node_th=0.0, edge_th=0.0), model.prune_input(0.0)):
        frozen = {name.rsplit(".", 1)[-1] for name, value in each.named_parameters() if not value.requires_grad}
        assert frozen == {"bias"}


@pytest.mark.parametrize("call", sorted(NOT_HERE))
def test_what_is_not_here_says_what_to_do(model, call):
    with pytest.raises(AttributeError, match=call):
        getattr(model, call)


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (InputError, lambda m, d: KAN([2, [1, 1], 1])),
        (InputError, lambda m, d: KAN([2])),
        (InputTypeError, lambda m, d: KAN(5)),
        (InputError, lambda m, d: KAN([2, 1], base_fun=torch.sin)),
        (InputError, lambda m, d: KAN([2, 1], sparse_init=True)),
        (InputError, lambda m, d: KAN([2, 1], grid_range=3)),
        (TypeError, lambda m, d: KAN([2, 1], gird=3)),
        (InputError, lambda m, d: m.fit(d, opt="SGD")),
        (InputError, lambda m, d: m.fit(d, steps=0)),
        (InputError, lambda m, d: m.fit(d, lamb=-1.0)),
        (InputError, lambda m, d: m.fit(d, grid_update_num=0)),
        (InputError, lambda m, d: m.fit(d, stop_grid_update_step=-1)),
        (InputError, lambda m, d: m.fit({"train_input": d["train_input"]})),
        (InputTypeError, lambda m, d: m.fit(3)),
        (ShapeError, lambda m, d: m.fit({"train_input": d["train_input"], "train_label": d["test_label"]})),
        (TypeError, lambda m, d: m.fit(d, step=3)),
        (InputError, lambda m, d: m.prune(node_th=-1)),
        (NothingLeftError, lambda m, d: m.prune(node_th=1e9)),
        (InputError, lambda m, d: m.prune(mode="manual")),
        (InputError, lambda m, d: m.prune(mode="manual", active_neurons_id=[[7], [0]])),
        (InputError, lambda m, d: m.prune(mode="manual", active_neurons_id=[[0], [0], [0], [0]])),
        (InputError, lambda m, d: m.prune(mode="manual", active_neurons_id=[[0], []])),
        (InputTypeError, lambda m, d: m.prune(mode="manual", active_neurons_id=[["a"], [0]])),
        (InputError, lambda m, d: m.prune_input(threshold=1e9)),
        (InputError, lambda m, d: m.prune_input(active_inputs=[2])),
        (InputError, lambda m, d: m.remove_edge(0, 0, 9)),
        (InputError, lambda m, d: m.remove_node(9, 0)),
        (InputTypeError, lambda m, d: m.remove_edge(0, 0, 0.5)),
        (InputError, lambda m, d: m.fix_symbolic(0, 0, 0, "sine")),
        (InputError, lambda m, d: m.unfix_symbolic(0, 0, 0)),
        (DataError, lambda m, d: m.get_act(torch.full((3, 2), torch.nan))),
        (ShapeError, lambda m, d: m.get_act(torch.zeros(3, 3))),
    ],
)
def test_refused_before_anything_is_changed(model, dataset, error, call):
    model = model.copy()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    scores = model.feature_score
    with pytest.raises(error):
        call(model, dataset)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    torch.testing.assert_close(model.feature_score, scores)


def test_every_argument_of_pykan_is_known():
    """Each argument of the installed pykan is ours, taken without effect, or refused by name."""
    kan = pytest.importorskip("kan")
    from kaninterp.compat.options import OPTIONS

    for call, theirs, ours in (("KAN", kan.KAN.__init__, KAN.__init__), ("fit", kan.KAN.fit, KAN.fit)):
        known = set(inspect.signature(ours).parameters) | set(OPTIONS[call])
        assert set(inspect.signature(theirs).parameters) <= known
    for name, theirs in inspect.getmembers(kan.KAN, inspect.isfunction):
        if name.startswith("_") or (name not in vars(KAN.__mro__[0]) and not hasattr(KAN, name)):
            continue
        ours = inspect.signature(getattr(KAN, name)).parameters
        if any(each.kind == each.VAR_KEYWORD for each in ours.values()) or not theirs.__qualname__.startswith(
            "MultKAN"
        ):
            continue
        assert set(inspect.signature(theirs).parameters) - {"self"} <= set(ours), name


@settings(max_examples=20)
@given(st.integers(1, 4), st.integers(0, 99), st.booleans(), st.sampled_from(["col", "row"]))
def test_datasets(n_var, seed, normalised, mode):
    pick = (lambda x: x[:, [0]]) if mode == "col" else (lambda x: x[[0]])
    data = create_dataset(
        pick, n_var=n_var, f_mode=mode, ranges=[2, 5], train_num=40, test_num=20, normalize_input=normalised,
        normalize_label=normalised, seed=seed,
    )  # fmt: skip
    assert {name: tuple(part.shape) for name, part in data.items()} == {
        "train_input": (40, n_var), "test_input": (20, n_var), "train_label": (40, 1), "test_label": (20, 1),
    }  # fmt: skip
    x = data["train_input"]
    torch.testing.assert_close(x[:, [0]], data["train_label"])
    if normalised:
        torch.testing.assert_close(x.mean(0), torch.zeros(n_var), atol=1e-5, rtol=0)
        torch.testing.assert_close(x.std(0, correction=0), torch.ones(n_var))
    else:
        assert 2 <= float(x.min()) <= float(x.max()) <= 5


def test_rows_are_those_of_pykan():
    kan = pytest.importorskip("kan.utils")
    before = torch.get_rng_state()
    try:
        theirs = kan.create_dataset(lambda x: x[:, [0]], n_var=3, ranges=[-2, 1], train_num=30, test_num=10, seed=7)
    finally:
        torch.set_rng_state(before)
    ours = create_dataset(lambda x: x[:, [0]], n_var=3, ranges=[-2, 1], train_num=30, test_num=10, seed=7)
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name])


@pytest.mark.parametrize(
    "wrong",
    [{"f": 3}, {"f_mode": "rows"}, {"n_var": 0}, {"train_num": 0}, {"ranges": [1]}, {"ranges": [1, -1]}, {"seed": -1},
     {"f": lambda x: x[0]}, {"f": lambda x: 1.0}],
)  # fmt: skip
def test_datasets_that_cannot_be(wrong):
    with pytest.raises((InputError, InputTypeError)):
        create_dataset(**{"f": lambda x: x[:, [0]], **wrong})


def test_marks_are_the_rows_it_is_measured_on(dataset):
    model = KAN([2, 3, 1], grid=3, seed=0)
    model(dataset["train_input"][:20])
    plain, marked = (model.plot(beta=100, sample=sample).axes[0].collections for sample in (False, True))
    assert len(marked) == len(plain) + 1
    assert len(marked[3].get_offsets()) == 20 * 9


def test_mathematics_in_names_is_set(dataset):
    model = KAN([2, 1], grid=3, seed=0)
    model(dataset["train_input"])
    figure = model.plot(in_vars=[r"$\alpha$", "$"])
    assert {text.get_text(): text.get_parse_math() for text in figure.axes[0].texts} == {
        r"$\alpha$": True, "$": False, "y0": False,
    }  # fmt: skip


@given(st.integers(2, 40), st.floats(0.05, 0.95))
def test_rows_are_split_into_two_parts(rows, ratio):
    x = torch.arange(rows)[:, None].float()
    if not 1 <= int(rows * ratio) < rows:
        with pytest.raises(InputError, match="both parts"):
            create_dataset_from_data(x, -x, ratio)
        return
    before = torch.get_rng_state()
    data = create_dataset_from_data(x, -x, ratio)
    assert torch.equal(before, torch.get_rng_state())
    assert len(data["train_input"]) == int(rows * ratio)
    assert torch.equal(torch.cat([data["train_input"], data["test_input"]]).sort(0).values, x)
    assert torch.equal(data["train_label"], -data["train_input"])
    assert torch.equal(data["test_label"], -data["test_input"])


def test_what_cannot_be_split_is_refused():
    with pytest.raises(InputTypeError, match="labels: expected a tensor"):
        create_dataset_from_data(torch.zeros(4, 2), np.zeros((4, 1)))
    for labels in (torch.zeros(4), torch.zeros(3, 1)):
        with pytest.raises(ShapeError, match="rows, labels"):
            create_dataset_from_data(torch.zeros(4, 2), labels)


def test_numbers_are_rounded_and_nothing_else():
    x = sympy.Symbol("x")
    rounded = ex_round(sympy.Float(1.23456) * sympy.sin(sympy.pi * x) + sympy.Rational(1, 3), 2)
    assert rounded == sympy.Float(1.23) * sympy.sin(sympy.pi * x) + sympy.Rational(1, 3)
    with pytest.raises(InputError, match="0 or more"):
        ex_round(x, -1)
    with pytest.raises(InputTypeError, match="sympy"):
        ex_round("x", 2)


def test_everything_that_explains_it_knows_the_columns(dataset, model):
    data = dataset["test_input"].numpy(), dataset["test_label"].numpy()
    found = ki.trace(model, data, feature_names=["length", "width"], progress=False)
    assert [found.node_name(0, i) for i in range(2)] == ["length", "width"]
    page = ki.report(model, data, feature_names=["length", "width"], trust=False, progress=False)
    assert "unit 0" not in page.to_html()
    smaller, _ = ki.prune(model, page.analysis.plan)
    assert type(smaller) is KAN
    text = ki.formula(model, data, feature_names=["length", "width"], trials=1, progress=False).formula.text()
    assert "unit" not in text


class Shifted(KAN):
    def forward(self, x):
        return super().forward((x - 5) / 2)


class Named(KAN):
    """A subclass with the same forward."""


def test_a_subclass_with_another_forward_does_not_read_the_columns_themselves(dataset):
    x = dataset["test_input"]
    model, host = KAN([2, 1], grid=3, seed=0), Shifted([2, 1], grid=3, seed=0)
    found = ki.trace(host, 2 * x + 5, feature_names=["length", "width"], progress=False)
    assert [found.node_name(0, i) for i in range(2)] == ["unit 0", "unit 1"]
    formula = ki.formula(host, (2 * x + 5, host(2 * x + 5).detach()), trials=1, progress=False).formula
    assert formula.input_names == ("unit 0", "unit 1")
    inside = ki.trace(model, x, feature_names=["length", "width"], progress=False)
    for model_of_columns in (inside, ki.trace(Named([2, 1]), x, feature_names=["length", "width"], progress=False)):
        assert model_of_columns.node_name(0, 0) == "length"
    handle = model.register_forward_pre_hook(lambda module, args: ((args[0] - 5) / 2,))
    assert ki.trace(model, 2 * x + 5, progress=False).node_name(0, 0) == "unit 0"
    handle.remove()
    model.forward = lambda x: model.head((x - 5) / 2)
    assert ki.trace(model, 2 * x + 5, progress=False).node_name(0, 0) == "unit 0"


def test_a_host_is_more_than_its_kan(dataset):
    host = nn.Sequential(nn.Linear(2, 2), KAN([2, 1], grid=3, seed=0))
    found = ki.trace(host, dataset["test_input"], progress=False)
    assert found.card.path == "1.head"
    assert found.node_name(0, 0) == "unit 0"
