"""Passports: nodes of known make are described as what they are, and what few inputs cannot describe is not."""

import copy
import sys

import numpy as np
import pytest
import torch
from torch import nn

import kaninterp as ki
from kaninterp.core import Passports
from kaninterp.core.errors import DataError
from kaninterp.measure import passports

of_passports = sys.modules["kaninterp.measure.passports"]  # the verb has the name of its module

NAMES = ("wind", "rain", "heat", "a", "b", "c", "d", "e", "f", "g")


class Known(nn.Module):
    """Units that are known functions of columns at lags; lag 0 is the last step."""

    def __init__(self):
        super().__init__()
        self.head = ki.KANHead(5, 1, (2,), domain=(-6, 6), generator=torch.Generator().manual_seed(0))

    def forward(self, x):
        units = [
            2 * x[:, -2, 0] - x[:, -1, 1] ** 2,
            x[:, -1, 0] * x[:, -3, 2],
            x[:, -1].sum(1) / 3,
            torch.zeros_like(x[:, 0, 0]) + 7,
            torch.sin(300 * x[:, -1, 4]),
        ]
        return self.head(torch.stack(units, 1))


def windows(rows=3000, seed=0):
    return torch.randn(rows, 4, 10, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def found():
    return passports(Known().eval(), windows(), feature_names=NAMES, progress=False)


def test_sums_of_curves_are_read_off(found):
    node = found.of(0, 0)
    assert node.described
    assert node.r2 > 0.97
    assert node.interaction < 0.01
    effects = {(effect.name, effect.lag): effect for effect in node.effects}
    assert set(effects) == {("wind", 1), ("rain", 0)}
    wind, rain = effects["wind", 1], effects["rain", 0]
    assert wind.share == pytest.approx(4 / 6, abs=0.1)
    assert rain.share == pytest.approx(2 / 6, abs=0.1)
    assert wind.direction > 0.99
    assert abs(rain.direction) < 0.2
    inner = (np.abs(wind.grid) < 2) & (np.abs(rain.grid) < 2)
    slope = np.polyfit(wind.grid[np.abs(wind.grid) < 2], wind.curve[np.abs(wind.grid) < 2], 1)[0]
    assert slope == pytest.approx(2, abs=0.1)
    bent = rain.curve[inner] + rain.grid[inner] ** 2
    assert np.ptp(bent) < 0.5
    assert wind.counts.sum() == pytest.approx(1)
    assert node.formula.replace("−", "-").split(" - ")[1].endswith("·rain[0]²")
    assert "·wind[1]" in node.formula
    assert node.formula_r2 > 0.99
    assert str(node).startswith("unit 0: wind (lag 1) rising, rain up and down; R² ")


def test_products_are_an_interaction(found):
    node = found.of(0, 1)
    assert node.described
    assert node.additive < 0.1
    assert node.interaction > 0.8
    assert {(effect.name, effect.lag) for effect in node.effects} >= {("wind", 0), ("heat", 2)}
    assert node.formula in {"1·wind[0]·heat[2]", "1·heat[2]·wind[0]"}


def test_ten_inputs_are_not_three(found):
    node = found.of(0, 2)
    assert len(node.effects) == 3
    assert 0.2 < node.r2 < 0.4
    assert not node.described
    assert "cannot be described by three inputs or fewer" in str(node)
    assert node.formula == ""


def test_constants_and_noise_are_told(found):
    assert found.of(0, 3).effects == ()
    assert str(found.of(0, 3)) == "unit 3: constant on these data"
    assert found.of(0, 4).r2 < 0.05
    assert not found.of(0, 4).described


def test_every_node_has_one_and_they_survive_a_file(found, tmp_path):
    assert [(p.layer, p.index) for p in found.nodes] == [*((0, i) for i in range(5)), (1, 0), (1, 1), (2, 0)]
    assert found.of(1, 1).name == "node 1.1"
    assert found.of(3, 0) is None
    assert found.rows + found.held_out < 3000
    found.save(tmp_path / "passports.npz")
    again = Passports.load(tmp_path / "passports.npz")
    assert list(map(str, again.nodes)) == list(map(str, found.nodes))
    np.testing.assert_array_equal(again.of(0, 0).effects[0].curve, found.of(0, 0).effects[0].curve)


def test_a_backbone_that_was_trained_and_the_model_stays_as_it_was():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = ki.Hybrid(nn.LSTM(10, 3, batch_first=True), ki.KANHead(3, 1))
    model.train()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    one, two = (passports(model, windows(600), progress=False) for _ in range(2))
    assert list(map(str, one.nodes)) == list(map(str, two.nodes))
    assert model.training
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_plain_kan_reads_columns_by_name():
    head = ki.KANHead(2, 1, domain=(-3, 3), generator=torch.Generator().manual_seed(0))
    found = passports(head, torch.randn(400, 2, generator=torch.Generator().manual_seed(1)), progress=False)
    assert found.of(0, 1).name == "x1"
    assert found.of(0, 1).effects[0].name == "x1"
    assert found.of(0, 1).r2 > 0.98


def test_too_few_rows_are_refused():
    with pytest.raises(DataError, match="199 rows; a description needs 200"):
        passports(Known(), windows(199), progress=False)
    long = torch.randn(400, 90, 10, generator=torch.Generator().manual_seed(0))
    with pytest.raises(DataError, match="400 rows of 90 steps; parts that share no step would have 11 rows"):
        passports(Known(), long, progress=False)


def test_nodes_that_only_indices_move_say_so():
    class Embedded(nn.Module):
        def __init__(self):
            super().__init__()
            self.lookup = nn.Embedding(5, 2)
            self.head = ki.KANHead(2, 1, generator=torch.Generator().manual_seed(0))

        def forward(self, values, codes):
            return self.head(self.lookup(codes) + 0 * values[:, :2])

    data = [({"values": torch.ones(400, 3), "codes": torch.arange(400) % 5},)]
    found = passports(Embedded().eval(), data, progress=False)
    assert str(found.of(0, 0)) == "unit 0: no numeric column that varies"


def test_rows_to_judge_by_have_no_part_in_the_choice(monkeypatch):
    x, seen = windows(800), []
    true = of_passports.node_lags

    def noted(model, view, held, progress):
        seen.append(held.batch.inputs[0])
        return true(model, view, held, progress)

    monkeypatch.setattr(of_passports, "node_lags", noted)
    found = passports(Known().eval(), x, feature_names=NAMES, progress=False)
    assert torch.equal(seen[0], x[: found.rows])
    other = torch.cat([x[:600], windows(200, seed=5)])
    again = passports(Known().eval(), other, feature_names=NAMES, progress=False)
    for one, two in zip(found.nodes, again.nodes, strict=True):
        assert {(e.name, e.lag) for e in one.effects} == {(e.name, e.lag) for e in two.effects}


class Mean(nn.Module):
    """A unit that is the mean of the last column over all its lags."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 1, bias=False)
        self.head = ki.KANHead(1, 1, domain=(-4, 4), generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            self.first.weight.copy_(torch.tensor([[0.0, 0.0, 1.0]]))

    def forward(self, x):
        return self.head(self.first(x).mean(1))


def test_no_description_names_a_column_that_no_weight_reads_even_one_that_is_a_copy():
    x = torch.randn(1200, 6, 2, generator=torch.Generator().manual_seed(1))
    x = torch.cat((x, x[..., :1]), -1)
    nodes = passports(Mean(), x, feature_names=["copy", "noise", "read"], progress=False).nodes
    assert [{effect.name for effect in node.effects} for node in nodes] == [{"read"}, {"read"}]
