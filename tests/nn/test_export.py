"""The way out: torch.compile without graph breaks, torch.export, and ONNX checked with onnxruntime."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from kaninterp.nn.head import KANHead
from kaninterp.nn.hybrid import Hybrid
from kaninterp.nn.narrow import narrow
from kaninterp.nn.surgery import prune_head

OUTSIDES = ["linear", "base", "clamp"]


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def calibrated(outside="linear", uniform=True):
    made = KANHead(4, 2, (3,), outside=outside, uniform=uniform, generator=torch.Generator().manual_seed(0))
    return made.calibrate(draw(200, 4)).eval()


def pruned(outside="linear"):
    keep = [np.ones((3, 4), bool), np.ones((2, 3), bool)]
    keep[0][:, 1], keep[0][0, 0] = False, False
    return prune_head(calibrated(outside), keep)[0]


CASES = {
    **{f"uniform, {outside}": (lambda outside=outside: calibrated(outside)) for outside in OUTSIDES},
    **{f"knots, {outside}": (lambda outside=outside: calibrated(outside, uniform=False)) for outside in OUTSIDES},
    "pruned": pruned,
    "hybrid": lambda: Hybrid(nn.Linear(4, 4), calibrated(), "last").eval(),
    "narrowed": lambda: Hybrid(narrow(nn.Linear(4, 4), (0, 2), torch.ones(4)), calibrated(), "last").eval(),
}
FEW = ["uniform, linear", "knots, linear", "pruned", "narrowed"]
IN_ONNX = [case for case in CASES if case not in {"knots, base", "knots, clamp"}]
POINTS = draw(40, 4, seed=1) * 3  # a good part of them outside the domain


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore")  # torch's own, while tracing
def test_compiles_without_graph_breaks_in_eval(case):
    model = CASES[case]()
    torch.compiler.reset()
    compiled = torch.compile(copy.deepcopy(model), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(POINTS), model(POINTS), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("case", FEW)
@pytest.mark.filterwarnings("ignore")
def test_compiles_without_graph_breaks_in_training(case):
    plain, traced = CASES[case]().train(), CASES[case]().train()
    for ours, theirs in zip(plain.parameters(), traced.parameters(), strict=True):
        theirs.data.copy_(ours.data)
    torch.compiler.reset()
    compiled = torch.compile(traced, fullgraph=True, backend="aot_eager")
    x, y = POINTS.clone().requires_grad_(), POINTS.clone().requires_grad_()
    compiled(x).square().sum().backward()
    plain(y).square().sum().backward()
    torch.testing.assert_close(x.grad, y.grad, atol=1e-4, rtol=1e-4)
    for ours, theirs in zip(plain.parameters(), traced.parameters(), strict=True):
        torch.testing.assert_close(theirs.grad, ours.grad, atol=1e-4, rtol=1e-4)
    for ours, theirs in zip(plain.buffers(), traced.buffers(), strict=True):
        torch.testing.assert_close(theirs, ours)


@pytest.mark.filterwarnings("ignore")
def test_inductor_agrees():
    model = calibrated()
    torch.compiler.reset()
    compiled = torch.compile(copy.deepcopy(model), fullgraph=True)
    torch.testing.assert_close(compiled(POINTS), model(POINTS), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("case", FEW)
@pytest.mark.filterwarnings("ignore")
def test_exports_with_a_free_batch_size(case):
    model = CASES[case]()
    rows = torch.export.Dim("rows", min=1)
    program = torch.export.export(model, (POINTS,), dynamic_shapes=({0: rows},))
    for n in (2, 7, 40):
        torch.testing.assert_close(program.module()(POINTS[:n]), model(POINTS[:n]), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("case", IN_ONNX)
@pytest.mark.filterwarnings("ignore")
def test_onnxruntime_gives_the_same_numbers(case, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = CASES[case]()
    rows = torch.export.Dim("rows", min=1)
    path = tmp_path / "head.onnx"
    program = torch.onnx.export(
        model, (POINTS,), dynamo=True, dynamic_shapes=({0: rows},), opset_version=18, verbose=False
    )
    program.save(path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (name,) = (argument.name for argument in session.get_inputs())
    for n in (1, 7, 40):
        (got,) = session.run(None, {name: POINTS[:n].numpy()})
        want = model(POINTS[:n]).detach().numpy()
        np.testing.assert_allclose(got, want, atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_an_lstm_with_a_head_exports_whole(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    for backbone in (nn.LSTM(3, 4, batch_first=True), narrow(nn.LSTM(3, 4, batch_first=True), (0, 2), torch.ones(3))):
        model = Hybrid(backbone, calibrated(), "last").eval()
        x = draw(5, 6, 3)
        program = torch.export.export(model, (x,))
        torch.testing.assert_close(program.module()(x), model(x), atol=1e-6, rtol=1e-5)
        path = tmp_path / "model.onnx"
        torch.onnx.export(model, (x,), dynamo=True, opset_version=18, verbose=False).save(path)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (got,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        np.testing.assert_allclose(got, model(x).detach().numpy(), atol=1e-5, rtol=1e-5)
