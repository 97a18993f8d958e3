"""Edges that are formulas: values, gradients, and everything that is done to a head that has some."""

import copy
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kaninterp.adapters import as_view, check_view
from kaninterp.core.edge_formula import EdgeFormula
from kaninterp.core.errors import FileFormatError, InputError, InputTypeError, StateError
from kaninterp.core.families import FAMILIES, Family
from kaninterp.nn import KANHead, load_head, prune_head, save_head
from kaninterp.nn.formulas import formulas_of, with_formulas, without_formulas
from kaninterp.nn.native import NATIVE, on_tensors
from kaninterp.nn.symbolic import SymbolicEdges

SOFTPLUS = Family(name="softplus", function=lambda u: np.logaddexp(u, 0.0), sympy="log(1 + exp(u))")
SAFE = {  # arguments inside the domain of each family
    "log": (0.2, 3), "sqrt": (0.2, 3), "1/sqrt(x)": (0.2, 3), "x^1.5": (0.2, 3), "1/x": (0.5, 3), "1/x^2": (0.5, 3),
    "1/x^3": (0.5, 3), "1/x^4": (0.5, 3), "tan": (-1.2, 1.2), "arcsin": (-0.9, 0.9), "arccos": (-0.9, 0.9),
    "arctanh": (-0.9, 0.9), "abs": (0.1, 2), "sgn": (0.1, 2),
}  # fmt: skip
SINE = EdgeFormula(family=FAMILIES["sin"], a=1.3, b=0.2, c=0.7, d=-0.1)
SQUARE = EdgeFormula(family=FAMILIES["x^2"], a=0.8, b=-0.3, c=0.5, d=0.2)
GAUSS = EdgeFormula(family=FAMILIES["gaussian"], a=1.0, b=0.0, c=1.5, d=0.0)
GIVEN = {(0, 0, 1): SINE, (0, 2, 0): SQUARE, (1, 1, 2): GAUSS}


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def plain(**options):
    options = {"dtype": torch.float64, **options}
    head = KANHead(4, 2, (3,), generator=torch.Generator().manual_seed(0), **options)
    return head.calibrate(draw(200, 4, dtype=options["dtype"])).eval()


def mixed(**options):
    return with_formulas(plain(**options), GIVEN)


def same(one, other):
    return one.family is other.family and [getattr(one, n) == getattr(other, n) for n in "abcd"] == [True] * 4


def test_every_family_has_a_function_on_tensors():
    assert set(NATIVE) == set(FAMILIES)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_on_tensors_is_the_family(name):
    u = torch.linspace(*SAFE.get(name, (-2, 2)), 101, dtype=torch.float64)
    np.testing.assert_allclose(
        on_tensors(FAMILIES[name])(u), FAMILIES[name].function(u.numpy()), rtol=1e-12, atol=1e-13
    )


@pytest.mark.parametrize("family", [*FAMILIES.values(), SOFTPLUS], ids=lambda family: family.name)
def test_gradients_are_right(family):
    lo, hi = SAFE.get(family.name, (-2, 2))
    edges = SymbolicEdges([family], [(0, 0)], out_features=1, dtype=torch.float64)
    x = torch.linspace(lo, hi, 7, dtype=torch.float64).unsqueeze(1).requires_grad_()

    def function(x, numbers):
        return torch.func.functional_call(edges, {"numbers": numbers}, (x,))

    numbers = torch.tensor([[0.97, 0.01, 1.3, -0.2]], dtype=torch.float64, requires_grad=True)
    if family.name == "sgn":  # a step has no slope but 0
        assert not torch.autograd.grad(function(x, numbers).sum(), x)[0].any()
        return
    torch.autograd.gradcheck(function, (x, numbers), atol=1e-6)
    if family.name != "abs":
        torch.autograd.gradgradcheck(function, (x, numbers), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("family", [*FAMILIES.values(), Family(name="log10", function=np.log10, sympy="log(u, 10)")])
def test_values_and_gradients_are_finite_wherever_training_goes(family, dtype):
    poles = [0.0, -0.0, 1.0, -1.0, np.pi / 2, -np.pi / 2, 1e-30, -1e-30, 1e4, -1e4, 88.0, 800.0]
    u = torch.tensor(poles, dtype=dtype, requires_grad=True)
    value = on_tensors(family)(u)
    assert value.isfinite().all()
    if family.name != "0":
        value.sum().backward()
        assert u.grad.square().isfinite().all()


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-3, 3), st.floats(-3, 3), st.sampled_from(["sin", "x^3", "tanh"]))
@settings(max_examples=30, deadline=None)
def test_a_formula_in_a_head_is_the_formula(a, b, c, d, name):
    formula = EdgeFormula(family=FAMILIES[name], a=a, b=b, c=c, d=d)
    head = with_formulas(plain(), {(0, 1, 2): formula})
    x = draw(50, 4)
    np.testing.assert_allclose(head.kan_layers[0].edges(x).detach()[:, 1, 2], formula(x[:, 2].numpy()), atol=1e-9)
    assert same(formulas_of(head)[0, 1, 2], formula)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_law_1_and_other_edges_stay(dtype):
    old, new = plain(dtype=dtype), mixed(dtype=dtype)
    x = draw(3000, 4, dtype=dtype) * 2
    check_view(as_view(new), x)
    before, after = (head.kan_layers[0].edges(x).detach() for head in (old, new))
    changed = (before != after).any(0)
    assert changed.nonzero().tolist() == [[0, 1], [2, 0]]
    layer = new.kan_layers[0]
    torch.testing.assert_close(layer.edges(x, "base") + layer.edges(x, "spline"), layer.edges(x))
    assert not layer.edges(x, "base")[:, 0, 1].any()


def test_the_head_given_is_not_changed():
    head = plain()
    before = {name: value.clone() for name, value in head.state_dict().items()}
    without_formulas(with_formulas(head, GIVEN))
    assert {name: bool((head.state_dict()[name] == value).all()) for name, value in before.items()} == dict.fromkeys(
        before, True
    )


def test_formulas_can_be_replaced_and_read():
    head = with_formulas(mixed(), {(0, 0, 1): SQUARE, (0, 1, 1): SINE})
    found = formulas_of(head)
    assert list(found) == [(0, 0, 1), (0, 1, 1), (0, 2, 0), (1, 1, 2)]
    assert same(found[0, 0, 1], SQUARE)
    assert same(found[0, 2, 0], SQUARE)
    assert same(found[1, 1, 2], GAUSS)


def test_what_does_not_exist_is_refused_with_what_does():
    head = plain()
    with pytest.raises(InputError, match="layer 0 has dst 0 to 2 and src 0 to 3"):
        with_formulas(head, {(0, 3, 0): SINE})
    with pytest.raises(InputError, match="layers 0 to 1"):
        with_formulas(head, {(2, 0, 0): SINE})
    with pytest.raises(InputTypeError, match="EdgeFormula"):
        with_formulas(head, {(0, 0, 0): "sin"})
    with pytest.raises(InputTypeError, match="KANHead"):
        with_formulas(torch.nn.Linear(2, 2), {})
    huge = EdgeFormula(family=FAMILIES["x"], a=1e300, b=0, c=1, d=0)
    with pytest.raises(InputError, match=r"\(0, 0, 0\).*float32"):
        with_formulas(plain(dtype=torch.float32), {(0, 0, 0): huge})
    impostor = EdgeFormula(family=Family(name="sin", function=np.cos, sympy="cos(u)"), a=1, b=0, c=1, d=0)
    with pytest.raises(InputError, match="two different families"):
        with_formulas(head, {(0, 0, 0): impostor})
    with pytest.raises(InputError, match="is no formula"):
        without_formulas(mixed(), [(0, 0, 0)])


def keep_without(*cut):
    keep = [np.ones((3, 4), bool), np.ones((2, 3), bool)]
    for layer, dst, src in cut:
        keep[layer][dst, src] = False
    return keep


def test_pruned_edges_do_not_come_back_unasked():
    head, _ = prune_head(plain(), keep_without((0, 0, 1)), compact=False)
    with pytest.raises(InputError, match=r"\(0, 0, 1\).*pruned"):
        with_formulas(head, GIVEN)
    back = with_formulas(head, GIVEN, revive=True)
    assert set(formulas_of(back)) == set(GIVEN)
    x = draw(20, 4)
    np.testing.assert_allclose(back.kan_layers[0].edges(x).detach()[:, 0, 1], SINE(x[:, 1].numpy()), atol=1e-12)


def test_pruning_removes_a_formula_for_good():
    head, _ = prune_head(mixed(), keep_without((0, 0, 1)), compact=False)
    assert set(formulas_of(head)) == {(0, 2, 0), (1, 1, 2)}
    assert not head.kan_layers[0].edges(draw(20, 4))[:, 0, 1].any()
    again = without_formulas(head)
    assert not again.kan_layers[0].mask[0, 1]
    assert again.kan_layers[0].formulas is None


@pytest.mark.parametrize("seed", range(5))
def test_law_4_compact_is_masked(seed):
    rng = np.random.default_rng(seed)
    keep = [rng.random((3, 4)) < 0.5, rng.random((2, 3)) < 0.7]
    constants = [rng.normal(size=k.shape) for k in keep]
    head = mixed(dtype=torch.float32)
    masked, _ = prune_head(head, keep, constants, compact=False)
    small, maps = prune_head(head, keep, constants)
    x = draw(200, 4, seed=seed, dtype=torch.float32) * 2
    torch.testing.assert_close(small(x), masked(x), atol=1e-6, rtol=1e-6)
    ids = [list(layer) for layer in maps]
    left = {(layer, ids[layer + 1][dst], ids[layer][src]) for layer, dst, src in formulas_of(small)}
    assert left == set(formulas_of(masked))


def test_a_constant_node_folds_through_a_formula():
    keep = keep_without(*((0, 2, src) for src in range(4)))
    constants = [np.full((3, 4), 0.1), np.zeros((2, 3))]
    head, _ = prune_head(mixed(), keep, constants)
    assert (1, 1, 2) not in formulas_of(head)
    before, _ = prune_head(mixed(), keep, constants, compact=False)
    value = plain().kan_layers[0].bias[2].item() + 0.4
    whole = mixed().kan_layers[1].edges(torch.tensor([[0.0, 0.0, value]], dtype=torch.float64))[0, 1, 2]
    np.testing.assert_allclose(whole.item(), float(GAUSS(np.array(value))), atol=1e-12)
    torch.testing.assert_close(head(draw(30, 4)), before(draw(30, 4)))


def test_copies_states_and_pickles_are_the_same_head():
    head, x = mixed(), draw(50, 4)
    other = with_formulas(
        plain(), {edge: EdgeFormula(family=f.family, a=1, b=1, c=1, d=1) for edge, f in GIVEN.items()}
    )
    other.load_state_dict(head.state_dict())
    built = KANHead(**head.config, dtype=torch.float64)
    built.load_state_dict(head.state_dict())
    for one in (copy.deepcopy(head), pickle.loads(pickle.dumps(head)), other, built.eval()):
        assert torch.equal(one(x), head(x))
        assert all(same(formulas_of(one)[edge], formula) for edge, formula in formulas_of(head).items())


def test_states_of_other_formulas_are_refused():
    other = with_formulas(plain(), {(0, 0, 0): SINE, (0, 1, 0): SQUARE, (1, 0, 0): GAUSS})
    with pytest.raises(RuntimeError, match="formulas on edges"):
        other.load_state_dict(mixed().state_dict())


def test_a_file_holds_the_formulas(tmp_path):
    head = prune_head(mixed(), keep_without((0, 0, 0), (0, 1, 0), (0, 2, 0)))[0]
    save_head(head, tmp_path / "head")
    again = load_head(tmp_path / "head").eval()
    assert torch.equal(again(draw(50, 4)), head(draw(50, 4)))
    assert list(formulas_of(again)) == list(formulas_of(head))


def test_a_file_with_a_family_of_ones_own_asks_for_it(tmp_path):
    own = EdgeFormula(family=SOFTPLUS, a=1, b=0, c=1, d=0)
    head = with_formulas(mixed(), {(0, 1, 3): own})
    save_head(head, tmp_path / "head")
    with pytest.raises(InputError, match=r"'softplus'.*families="):
        load_head(tmp_path / "head")
    again = load_head(tmp_path / "head", families=[SOFTPLUS]).eval()
    assert torch.equal(again(draw(50, 4)), head(draw(50, 4)))


def test_a_file_without_formulas_is_as_it_was():
    assert "formulas" not in plain().config


@pytest.mark.parametrize("outside", ["clamp", "linear", "base"])
def test_formulas_stay_where_domains_and_grids_move(outside):
    head, x = mixed(outside=outside), draw(50, 4) * 0.5
    refined = head.refine(10)
    if outside != "base":  # whose fringe is as wide as the cells
        torch.testing.assert_close(refined(x), head(x))
    moved = copy.deepcopy(head).update(draw(100, 4) * 1.5)
    for new in (refined, moved):
        assert all(same(formulas_of(new)[edge], formula) for edge, formula in GIVEN.items())
        np.testing.assert_allclose(new.kan_layers[0].edges(x).detach()[:, 0, 1], SINE(x[:, 1].numpy()), atol=1e-12)


def test_a_spline_again_is_the_best_fit():
    head = mixed()
    x = torch.linspace(-1, 1, 200, dtype=torch.float64).unsqueeze(1).expand(-1, 4)
    lo, hi = head.kan_layers[0].domain
    x = lo + (x + 1) / 2 * (hi - lo)
    coarse, fine = without_formulas(head), without_formulas(head.refine(40))
    wanted = head.kan_layers[0].edges(x)
    errors = [float((new.kan_layers[0].edges(x) - wanted).abs().max().detach()) for new in (coarse, fine)]
    assert errors[0] < 0.05
    assert errors[1] < 1e-4
    one = without_formulas(head, [(0, 0, 1)])
    assert set(formulas_of(one)) == {(0, 2, 0), (1, 1, 2)}


def test_a_domain_that_is_not_set_is_refused():
    with pytest.raises(StateError, match="calibrate"):
        without_formulas(with_formulas(KANHead(2, 1), {(0, 0, 0): SINE}))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    whole, half = mixed(dtype=torch.float32), mixed(dtype=torch.float32).to(dtype)
    x = draw(40, 4, dtype=torch.float32)
    out = half(x.to(dtype))
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), whole(x), atol=0.15, rtol=0.1)


def test_penalties_do_not_count_formulas():
    head = mixed()
    head.penalty(smooth=1.0).backward()
    assert head.kan_layers[0].formulas.numbers.grad is None
    assert not head.kan_layers[0].weight.grad[0, :, 1].any()


def test_nan_in_a_dropped_input_does_not_come_through():
    head, _ = prune_head(mixed(), keep_without(*((0, dst, 1) for dst in range(3))), compact=False)
    x = draw(10, 4)
    spoilt = x.clone()
    spoilt[:, 1] = torch.nan
    assert torch.equal(head(spoilt), head(x))


@pytest.mark.filterwarnings("ignore")  # torch's own, while tracing
def test_compiles_and_exports(tmp_path):
    head, x = mixed(dtype=torch.float32), draw(30, 4, dtype=torch.float32)
    torch.compiler.reset()
    compiled = torch.compile(copy.deepcopy(head), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), head(x))
    torch.testing.assert_close(torch.export.export(head, (x,)).module()(x), head(x))
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    torch.onnx.export(head, (x,), dynamo=True, opset_version=18, verbose=False).save(tmp_path / "head.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "head.onnx"), providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    np.testing.assert_allclose(got, head(x).detach().numpy(), atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_transforms_of_functions():
    head = with_formulas(mixed(), {(0, 1, 3): EdgeFormula(family=SOFTPLUS, a=1, b=0, c=1, d=0)})
    head = with_formulas(head, {(0, 1, 2): EdgeFormula(family=FAMILIES["J0"], a=1, b=0, c=1, d=0)})
    x = draw(6, 4)
    rows = torch.func.vmap(torch.func.jacrev(head))(x)
    forwards = torch.func.vmap(torch.func.jacfwd(head))(x)
    torch.testing.assert_close(rows, forwards)


@pytest.mark.parametrize("name", ["log", "1/x", "1/x^4", "sqrt", "1/sqrt(x)", "arcsin", "arctanh", "tan", "exp", "x^5"])
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_training_that_leaves_the_domain_stays_finite(name, optimizer):
    formula = EdgeFormula(family=FAMILIES[name], a=3.0, b=-0.5, c=1.0, d=0.0)  # half of the inputs are outside
    head = with_formulas(plain(dtype=torch.float32), {(0, 0, 0): formula, (0, 1, 2): formula}).train()
    x = draw(64, 4, dtype=torch.float32) * 2
    kinds = {
        "adam": partial(torch.optim.Adam, lr=0.1),
        "lbfgs": partial(torch.optim.LBFGS, max_iter=5, line_search_fn="strong_wolfe"),
    }
    steps = kinds[optimizer](head.parameters())

    def closure():
        steps.zero_grad()
        loss = torch.nn.functional.smooth_l1_loss(head(x)[:, 0], x[:, 1].sin())
        loss.backward()
        return loss

    for _ in range(3 if optimizer == "lbfgs" else 10):
        assert steps.step(closure).isfinite()
    assert all(parameter.isfinite().all() for parameter in head.parameters())


def test_autocast():
    head, x = mixed(dtype=torch.float32), draw(40, 4, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coarse = head(x.bfloat16())
    torch.testing.assert_close(coarse.float(), head(x), atol=0.1, rtol=0.1)


def test_a_moving_domain_leaves_formulas_alone():
    head = with_formulas(plain(dtype=torch.float32, moving_domain=True), {(0, 0, 1): SINE}).train()
    steps = torch.optim.SGD([p for name, p in head.named_parameters() if "numbers" not in name], lr=1e-4)
    before = head.kan_layers[0].domain.clone()
    for step in range(80):
        steps.zero_grad()
        head(draw(64, 4, seed=step, dtype=torch.float32) + step / 20).square().mean().backward()
        steps.step()
    assert not torch.equal(before, head.kan_layers[0].domain)
    wanted = SINE(np.linspace(-3, 5, 20))
    x = torch.linspace(-3, 5, 20).unsqueeze(1).expand(-1, 4)
    np.testing.assert_allclose(head.kan_layers[0].edges(x).detach()[:, 0, 1], wanted, atol=1e-6)


def test_one_column_and_constant_columns():
    head = KANHead(1, 1, domain=(-1, 1), generator=torch.Generator().manual_seed(0))
    head = with_formulas(head, {(0, 0, 0): EdgeFormula(family=FAMILIES["0"], a=1, b=0, c=1, d=0.5)}).eval()
    assert head(torch.ones(3, 1)).tolist() == [[0.5]] * 3
    small, _ = prune_head(head, [np.zeros((1, 1), bool)], [np.array([[0.5]])])
    assert small(torch.ones(3, 1)).tolist() == [[0.5]] * 3
    assert formulas_of(small) == {}


WRONG = {
    "no such edge": [[0, 9, 0, "sin"]],
    "twice": [[0, 0, 1, "sin"]] * 2,
    "no number": [[True, 0, 1, "sin"]],
    "a text": ["sin"],
    "no name": [[0, 0, 1, 5]],
    "too short": [[0, 0, 1]],
    "others than its tensors": [[0, 0, 1, "sin"]],
}


@pytest.mark.parametrize("formulas", WRONG.values(), ids=WRONG)
def test_files_with_wrong_formulas_are_refused(tmp_path, formulas):
    import json

    from safetensors.torch import load_file, save_file

    save_head(mixed(), tmp_path / "head")
    config = {**mixed().config, "formulas": formulas}
    text = json.dumps({"format": 1, "kind": "KANHead", "config": config})
    save_file(load_file(tmp_path / "head"), tmp_path / "head", {"kaninterp": text})
    with pytest.raises(FileFormatError):
        load_head(tmp_path / "head")
