"""The trace against numpy on the model's own activations."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import kaninterp as ki
from kaninterp.core.errors import DataError, InputTypeError, ModelError, NamesError, StateError
from tests.tiny import hybrid, known_head, known_layer, paper_head


def rows(n: int = 300, width: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def test_edge_moments_are_those_of_the_edges_themselves():
    head, x = known_head(known_layer([[torch.sin, torch.exp], [torch.square, torch.tanh]])), rows(width=2)
    table = ki.trace(head, x).layers[0].edges
    edges = head.kan_layers[0].edges(x).detach().numpy()
    y = edges.sum(2)
    np.testing.assert_allclose(table.mean, edges.mean(0), atol=1e-12)
    np.testing.assert_allclose(table.strength, edges.std(0), atol=1e-12)
    across = np.einsum("nds,nd->ds", edges - edges.mean(0), y - y.mean(0))
    np.testing.assert_allclose(table.with_output, across, atol=1e-9)
    along = np.einsum("nds,ns->ds", edges - edges.mean(0), x.numpy() - x.numpy().mean(0))
    np.testing.assert_allclose(table.with_input, along, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_layer_gets_what_the_layer_below_gives(dtype):
    """Deep heads, nodes with means far from 0, in both number types."""
    head = ki.KANHead(3, 2, (4, 3), domain=(-2, 2), generator=torch.Generator().manual_seed(0)).to(dtype).eval()
    x = rows(width=3).to(dtype)
    with torch.no_grad():
        for layer in head.kan_layers:
            layer.bias += 0.5
        values = [x]
        for layer in head.kan_layers:
            values.append(layer(values[-1]))
    for table, nodes in zip(ki.trace(head, x).nodes, values, strict=True):
        np.testing.assert_allclose(table.mean, nodes.double().numpy().mean(0), atol=1e-6)
        np.testing.assert_allclose(table.std, nodes.double().numpy().std(0), atol=1e-6)


def test_known_functions_have_their_theoretical_strength():
    x = torch.linspace(-1, 1, 20001, dtype=torch.float64)[:, None].expand(-1, 4)
    strength = ki.trace(paper_head(), x).layers[0].edges.strength[0]
    theory = [np.sqrt(4 / 45), 0.3 / np.sqrt(3), 0.1 / np.sqrt(7), 0.0]
    np.testing.assert_allclose(strength, theory, atol=1e-4)


def test_a_family_without_a_shared_basis_gives_the_same_moments(monkeypatch):
    model, x = hybrid(), torch.randn(200, 5, 4, generator=torch.Generator().manual_seed(0))
    fast = ki.trace(model, x)
    from kaninterp.adapters import kan_head

    monkeypatch.setattr(kan_head._KanHeadLayer, "planes", lambda self, x: None)
    slow = ki.trace(model, x)
    for a, b in zip(fast.layers, slow.layers, strict=True):
        np.testing.assert_allclose(a.edges.m2, b.edges.m2, rtol=1e-4, atol=1e-10)
        np.testing.assert_allclose(a.edges.with_output, b.edges.with_output, rtol=1e-3, atol=1e-6)


def test_zones_count_every_row_in_its_place():
    layer = known_layer([[torch.sin]], grid=4)  # cells of .5, fringe of 1.5 on each side
    x = torch.tensor([-9.0, -2.4, -1.0, -0.75, 0.0, 0.9, 1.0, 1.01, 2.5, 9.0], dtype=torch.float64)[:, None]
    ranges = ki.trace(known_head(layer), x).layers[0].ranges
    assert ranges.intervals.tolist() == [[2, 0, 1, 2]]
    assert ranges.outside.tolist() == [[1, 1, 1, 2]]
    np.testing.assert_allclose(ranges.zones, [[0.5, 0.2, 0.3]])


def test_curves_are_the_edges():
    head = known_head(known_layer([[torch.sin]]))
    table = ki.trace(head, rows(width=1)).layers[0].edges
    inside = np.abs(table.curve_x[0]) <= 1
    np.testing.assert_allclose(table.curves[0, 0][inside], np.sin(table.curve_x[0][inside]), atol=1e-5)
    assert not table.base_curves.any()


def test_masked_edges_are_dead_in_the_trace():
    head = paper_head()
    head.kan_layers[0].set_mask(torch.tensor([[1.0, 0.0, 1.0, 1.0]]))
    table = ki.trace(head, rows()).layers[0].edges
    assert table.alive.tolist() == [[True, False, True, True]]
    assert table.strength[0, 1] == 0


DATA = torch.randn(70, 5, 4, generator=torch.Generator().manual_seed(3))


class InOneBatch(nn.Module):
    """Reads the same columns from two named inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = hybrid()

    def forward(self, left, right):
        return self.inner(torch.cat([left, right], dim=-1))


@pytest.mark.parametrize(
    "data",
    [
        DATA.numpy(),
        (DATA, torch.zeros(70)),
        TensorDataset(DATA, torch.zeros(70)),
        DataLoader(TensorDataset(DATA), batch_size=9),
        [DATA[:30], DATA[30:]],
        (batch for batch in (DATA[:1], DATA[1:])),
    ],
    ids=["array", "pair", "dataset", "loader", "list", "generator"],
)
def test_every_kind_of_data_gives_the_same_trace(data):
    model = hybrid()
    want, got = ki.trace(model, DATA), ki.trace(model, data)
    assert got.rows == 70
    np.testing.assert_allclose(got.layers[0].edges.m2, want.layers[0].edges.m2, rtol=1e-6)
    np.testing.assert_allclose(got.raw.co, want.raw.co, rtol=1e-6)


def test_a_model_with_named_inputs():
    model = InOneBatch()
    data = {"left": DATA[..., :1], "right": DATA[..., 1:]}
    got = ki.trace(model, data)
    assert got.card.path == "inner.head"
    assert len(got.raw.names) == 4
    np.testing.assert_allclose(got.layers[0].edges.m2, ki.trace(hybrid(), DATA).layers[0].edges.m2, rtol=1e-6)


def test_names_of_a_frame_are_kept():
    frame = pd.DataFrame(rows(), columns=["a", "b", 3, "<b>"])
    trace = ki.trace(paper_head(), frame, target_names=["out"])
    assert trace.raw.names == ("a", "b", "3", "<b>")
    assert trace.output_names == ("out",)
    assert trace.node_name(0, 1) == "b"


def test_readout_all_measures_every_time_step():
    model = ki.Hybrid(nn.LSTM(4, 6, batch_first=True), ki.KANHead(6, 1), readout="all")
    assert ki.trace(model, DATA).rows == 70 * 5


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (DATA[..., :3], ModelError, r"70 x 5 x 3|\(70, 5, 3\)"),
        (DATA.long(), InputTypeError, "int"),
        (torch.where(torch.arange(70)[:, None, None] == 9, torch.nan, DATA), DataError, "x0"),
        (DATA[:0], DataError, "empty"),
    ],
)
def test_bad_data_is_refused(data, error, words):
    with pytest.raises(error, match=words):
        ki.trace(hybrid(), data)


def test_bad_names_and_models_are_refused():
    with pytest.raises(NamesError, match="duplicated"):
        ki.trace(hybrid(), DATA, feature_names=["a", "a", "b", "c"])
    with pytest.raises(NamesError, match="4"):
        ki.trace(hybrid(), DATA, feature_names=["a"])
    with pytest.raises(ModelError, match="no KAN"):
        ki.trace(nn.Linear(4, 1), DATA)
    with pytest.raises(ModelError, match=r"'a'.*'b'"):
        ki.trace(nn.ModuleDict({"a": ki.KANHead(4, 1), "b": ki.KANHead(4, 1)}), DATA)
    with pytest.raises(InputTypeError, match=r"nn\.Module"):
        ki.trace("model", DATA)
    with pytest.raises(StateError, match="meta"):
        ki.trace(hybrid().to("meta"), DATA)
    with torch.no_grad():
        broken = hybrid()
        broken.head.kan_layers[0].bias.fill_(torch.nan)
    with pytest.raises(ModelError):
        ki.trace(broken, DATA)


def test_a_kan_that_is_never_called_is_named():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.head = nn.Linear(4, 1), ki.KANHead(4, 1)

        def forward(self, x):
            return self.first(x)

    with pytest.raises(ModelError, match="never calls"):
        ki.trace(Idle(), DATA[:, -1])


def test_saved_traces_come_back_bit_for_bit(tmp_path):
    trace = ki.trace(hybrid(), DATA)
    trace.save(tmp_path / "t.npz")
    assert ki.Trace.load(tmp_path / "t.npz").equals(trace)


def test_a_constant_and_a_dead_unit_give_no_nan():
    model = hybrid()
    data = DATA.clone()
    data[..., 2] = 7.0
    with torch.no_grad():
        model.backbone.weight_ih_l0.zero_()
        model.backbone.weight_hh_l0.zero_()
    trace = ki.trace(model, data)
    assert trace.raw.nodes.constant.tolist() == [False, False, True, False]
    assert not trace.layers[0].edges.strength.any()
