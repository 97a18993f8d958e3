"""`check`: what left, what froze, what only a hidden layer shows, and what no range shows."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import torch

import kaninterp as ki
from kaninterp.adapters import as_view
from kaninterp.core import (
    DataError,
    FileFormatError,
    InputTypeError,
    MissingFileError,
    NamesError,
    ShapeError,
)
from kaninterp.data import as_batches
from kaninterp.measure import range_card
from kaninterp.measure.watching import watch
from kaninterp.workflows import check

NAMES = tuple(f"x{i}" for i in range(8))


def head(columns, seed=0, hidden=(), low=-1.0, high=1.0):
    return ki.KANHead(columns, 1, hidden, domain=(low, high), generator=torch.Generator().manual_seed(seed))


def card_of(model, data, **options):
    return range_card(model, data, progress=False, **options)


def drift_menu(n=2000, seed=0):
    """P12: 1 and 7 shifted by .5, 2 doubled, 3 truncated, 4 and 5 no longer go together; 0 and 6 as they were."""
    rng = np.random.default_rng(seed)
    before, now = (rng.uniform(-1, 1, (n, 8)) for _ in range(2))
    before[:, 5] = before[:, 4]
    now[:, 1] += 0.5
    now[:, 2] *= 2
    now[:, 3] *= 0.5
    now[:, 5] = -now[:, 4]
    now[:, 7] += 0.5
    return before, now


def drifting_windows(n=3000, steps=12, seed=0):
    """T06: in the last third u1 is tripled, u4 shifted by 4, u5 frozen at 0."""
    rng = np.random.default_rng(seed)
    u = rng.uniform(-1, 1, (n + steps, 6))
    cut = len(u) - n // 3
    u[cut:, 1] *= 3
    u[cut:, 4] += 4
    u[cut:, 5] = 0
    windows = np.lib.stride_tricks.sliding_window_view(u, steps, axis=0).transpose(0, 2, 1)[-n:]
    known = n - n // 3
    return windows[:known], windows[known + steps :]


def shares(model, now, card):
    batches = as_batches(now, names=card.columns, dtype=torch.float32)
    return watch(model, as_view(model), batches, card)[1].columns.counts.outside


def named(model, now, card):
    """How many columns a check names."""
    found = check(model, now, card=card, progress=False).findings
    return sum(int(one.claim.split()[0]) for one in found if one.section == "columns" and one.severity != "note")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [200, 2000])
def test_the_drift_menu(n, seed):
    before, now = drift_menu(n, seed)
    model = head(8)
    card = card_of(model, before)
    exact = [0, 0.25, 0.5, 0, 0, 0, 0, 0.25]
    outside = shares(model, now, card)
    np.testing.assert_allclose(outside, exact, atol=0.035 if n == 2000 else 0.12)  # three standard errors
    found = check(model, now, card=card, progress=False)
    ranges = next(finding for finding in found.findings if finding.code == "columns-range")
    assert ranges.claim.startswith("3 columns of 8 left the range of the card: ")
    assert {name for name in NAMES if f"{name} " in ranges.evidence.split(".")[0] + " "} == {"x1", "x2", "x7"}
    cut = next(finding for finding in found.findings if finding.section == "shape" and finding.severity != "note")
    assert cut.claim == "1 column of 8 was cut to part of its range: x3."
    # columns that no longer go together and another concept are invisible to single columns, and it says so
    assert "columns that no longer go together" in str(found)


def test_windows_that_drift_through_an_lstm():
    before, now = drifting_windows()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = torch.nn.LSTM(6, 8, batch_first=True)
    model = ki.Hybrid(backbone, head(8))
    names = [f"u{i}" for i in range(6)]
    card = card_of(model, before, feature_names=names)
    np.testing.assert_allclose(shares(model, now, card), [0, 2 / 3, 0, 0, 1, 0], atol=0.02)
    found = check(model, now, card=card, feature_names=names, progress=False)
    assert [finding.code for finding in found.findings] == ["columns-range", "frozen", "layer-shape"]
    assert found.findings[2].severity == "note"  # an LSTM never leaves [-1, 1], but its units are elsewhere in it
    assert "u4 and u1" in found.findings[0].claim
    assert found.findings[0].severity == "problem"
    assert "u5 = 0" in found.findings[1].evidence


def test_a_sum_that_leaves_although_no_input_does():
    """Inputs keep their ranges; what no longer goes together drives a hidden node out of its domain."""
    rng = np.random.default_rng(0)
    a = rng.uniform(-1, 1, 2000)
    before, now = np.column_stack([a, -a]), np.column_stack([a, a])
    model = head(2, hidden=(1,))
    with torch.no_grad():
        first, second = model.kan_layers
        first.weight.zero_()
        first.weight[:, -1] = 3.0  # silu(3) is 2.86: the sum of both reaches far outside, their difference does not
        second.update(torch.tensor([-1.5]), torch.tensor([2.5]))
    card = card_of(model, before)
    assert check(model, before, card=card, progress=False).ok
    found = check(model, now, card=card, progress=False).findings
    assert [finding.section for finding in found] == ["layer-2"]
    assert "No column and no earlier layer shows it." in found[0].claim
    assert "node 1.0" in found[0].evidence


def series(rng, rows, columns=40, phi=0.95):
    """First-order autoregressions of unit variance."""
    noise = rng.normal(size=(rows + 200, columns)) * (1 - phi**2) ** 0.5
    x = np.zeros_like(noise)
    for t in range(1, len(x)):
        x[t] = phi * x[t - 1] + noise[t]
    return x[200:]


@pytest.mark.parametrize("n", [50, 200, 1000, 4000, 20_000])
@pytest.mark.parametrize("phi", [0.0, 0.95])
def test_series_without_drift_raise_no_alarm(n, phi):
    """1000 rows before, n now: at most one percent of the columns are named."""
    rng = np.random.default_rng(n)
    model, rounds = head(40, low=-6, high=6), 10 if n < 4000 else 3
    alarms = [named(model, series(rng, n, phi=phi), card_of(model, series(rng, 1000, phi=phi))) for _ in range(rounds)]
    assert sum(alarms) <= 0.01 * 40 * rounds


def test_slow_series_outside_are_a_note_and_no_alarm():
    rng = np.random.default_rng(4)
    model = head(40, low=-6, high=6)
    before, now = series(rng, 300, phi=0.99), series(rng, 300, phi=0.99)
    found = check(model, now, card=card_of(model, before), progress=False)
    assert {finding.severity for finding in found.findings} == {"note"}
    assert "as series so slow may by chance" in str(found)
    assert "none." not in str(found)
    assert found.findings[0].evidence.endswith(" independent rows.")
    assert found.ok
    suite = ElementTree.fromstring(found.to_junit())
    assert suite.get("failures") == "0"
    assert "by chance" in suite.find("testcase/system-out").text


def test_few_rows_of_white_noise_outside_are_not_called_slow():
    rng = np.random.default_rng(0)
    before, now = rng.uniform(-1, 1, size=(30, 6)), rng.uniform(-1.1, 1.1, size=(30, 6))
    model = head(6, hidden=(2,), low=-0.95, high=0.95)
    found = check(model, now, card=card_of(model, before), progress=False)
    assert "columns-range" in [finding.code for finding in found.findings]
    assert found.ok
    assert "as so few independent rows may by chance" in str(found)
    assert "slow" not in str(found)


def test_a_shift_of_two_standard_deviations_is_caught_at_200_rows():
    rng = np.random.default_rng(0)
    model = head(40, low=-6, high=6)
    caught = [
        named(model, rng.normal(size=(200, 40)) + 2, card_of(model, rng.normal(size=(1000, 40)))) for _ in range(5)
    ]
    assert sum(caught) >= 0.9 * 40 * 5


@pytest.mark.parametrize("n", [1, 30, 50, 200])
def test_nodes_that_were_outside_before_raise_no_alarm_by_chance(n):
    """A third of normal data lies outside [-1, 1] from the beginning."""
    rng = np.random.default_rng(n)
    model = head(4)
    card = card_of(model, rng.normal(size=(2000, 4)))
    alarms = [not check(model, rng.normal(size=(n, 4)), card=card, progress=False).ok for _ in range(60)]
    assert sum(alarms) <= 2
    assert not check(model, 3 * rng.normal(size=(200, 4)), card=card, progress=False).ok


@pytest.mark.parametrize("phi", [0.999, 0.9999])
def test_series_that_are_one_long_way_raise_no_alarm(phi):
    rng = np.random.default_rng(0)
    model = head(5, low=-6, high=6)
    alarms = 0
    for _ in range(5):
        card = card_of(model, series(rng, 8000, columns=5, phi=phi))
        alarms += named(model, series(rng, 8000, columns=5, phi=phi), card)
    assert alarms == 0


def test_one_slow_column_does_not_hide_what_a_layer_shows():
    rng = np.random.default_rng(0)
    a = rng.uniform(-1, 1, 4000)
    ramp = np.linspace(-1, 1, 4000)
    model = head(3, hidden=(1,))
    with torch.no_grad():
        first, second = model.kan_layers
        first.weight.zero_()
        first.weight[:, -1, :2] = 3.0
        second.update(torch.tensor([-1.5]), torch.tensor([2.5]))
    card = card_of(model, np.column_stack([a, -a, ramp]))
    found = check(model, np.column_stack([a, a, ramp]), card=card, progress=False)
    assert [finding.section for finding in found.findings] == ["layer-2"]
    assert not found.ok


def test_a_rare_flag_that_stands_still_is_no_dead_sensor():
    rng = np.random.default_rng(0)
    model = head(2, low=-1, high=2)

    def rows(n):
        return np.column_stack([rng.uniform(size=n), rng.uniform(size=n) < 0.01]).astype(float)

    card = card_of(model, rows(2000))
    assert all(check(model, rows(50), card=card, progress=False).ok for _ in range(20))
    assert check(model, rows(1), card=card, progress=False).ok
    stuck = check(model, rows(50) * [0, 1] + [0.5, 0], card=card, progress=False)
    assert "x0 = 0.5" in next(finding.evidence for finding in stuck.findings if finding.code == "frozen")


def test_columns_that_the_model_does_not_read_are_nobodys_alarm():
    from kaninterp.analysis import drop_inputs

    before, now = drift_menu(500)
    model = head(8)
    smaller, _ = ki.prune(model, drop_inputs(ki.trace(model, before, progress=False), ["x1", "x2"]))
    found = check(smaller, now, card=card_of(smaller, before), progress=False)
    assert found.findings[0].claim == "1 column of 8 left the range of the card: x7."


def test_data_without_the_columns_of_the_card_are_refused():
    model = torch.nn.Sequential(torch.nn.Flatten(), head(16))
    rows = torch.rand(200, 16, generator=torch.Generator().manual_seed(0))
    with pytest.raises(DataError, match="the form the card was made from"):
        check(model, rows.reshape(200, 1, 4, 4), card=card_of(model, rows), progress=False)


def test_numbered_and_nested_columns_have_the_names_of_the_card():
    before, now = drift_menu(300)
    model = head(8)
    for columns in (range(8), pd.MultiIndex.from_product([["a", "b"], range(4)])):
        card = card_of(model, pd.DataFrame(before, columns=columns))
        found = check(model, pd.DataFrame(now, columns=columns), card=card, progress=False)
        assert found.findings[0].claim.startswith("3 columns of 8")


def test_columns_of_a_table_are_found_by_name():
    before, now = drift_menu(300)
    model = head(8)
    card = card_of(model, pd.DataFrame(before, columns=NAMES))
    table = pd.DataFrame(now, columns=NAMES)
    ordered = check(model, table, card=card, progress=False)
    mixed = table[list(NAMES)[::-1]].assign(station=1.0, y=0.5)
    assert check(model, mixed, card=card, target="y", progress=False).findings == ordered.findings
    assert check(model, mixed, card=card, progress=False).findings == ordered.findings


def test_the_forms_of_the_result(tmp_path):
    before, now = drift_menu(300)
    model = head(8)
    names = ["<b>", 'a"', "x\x00y", *NAMES[3:]]
    card = card_of(model, before, feature_names=names)
    card.save(tmp_path / "card.json")
    found = check(model, now, card=tmp_path / "card.json", feature_names=names, progress=False)
    assert not found.ok
    assert check(model, before, card=card, feature_names=names, progress=False).ok
    body = json.loads(found.to_json())
    assert (body["format"], body["ok"], body["rows"]) == ("kaninterp-check", False, 300)
    assert [entry["name"] for entry in body["checks"]] == ["columns", "frozen", "shape", "layer-1"]
    suite = ElementTree.fromstring(found.to_junit())
    assert (suite.get("tests"), suite.get("failures")) == ("4", "3")
    assert suite.find("testcase/failure").get("type") == "columns-range"
    text = str(found)
    assert text.splitlines()[1].startswith("▲ raw columns stay in the range of the card")
    assert "✓ raw columns still vary" in text


def test_the_model_stays_as_it_was():
    before, now = drift_menu(100)
    model = head(8).train()
    card = card_of(model, before)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    check(model, now, card=card, progress=False)
    assert model.training
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_bad_input_says_what_to_do(tmp_path):
    before, now = drift_menu(100)
    model = head(8)
    table = pd.DataFrame(before, columns=NAMES)
    card = card_of(model, table)
    with pytest.raises(NamesError, match=r"1 of the card's 8 columns are missing: \['x3'\]"):
        check(model, table.drop(columns="x3"), card=card, progress=False)
    with pytest.raises(NamesError, match="another order"):
        check(model, now, feature_names=NAMES[::-1], card=card, progress=False)
    with pytest.raises(ShapeError, match="another model"):
        check(head(8, seed=1), table, card=card, progress=False)
    with pytest.raises(InputTypeError, match="RangeCard"):
        check(model, table, card=None, progress=False)
    with pytest.raises(MissingFileError):
        check(model, table, card=tmp_path / "none.json", progress=False)
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(FileFormatError):
        check(model, table, card=tmp_path / "bad.json", progress=False)
    with pytest.raises((DataError, InputTypeError), match="x2"):
        check(model, table.assign(x2="text"), card=card, progress=False)
    with pytest.raises(DataError, match="x2"):
        check(model, table.assign(x2=np.nan), card=card, progress=False)


def test_a_move_that_few_independent_rows_may_make_by_chance_is_a_note():
    rng = np.random.default_rng(3)
    model = head(2)
    before, now = series(rng, 2000, phi=0.999, columns=2), series(rng, 2000, phi=0.999, columns=2)
    now += 1.5 - now.mean(0) + before.mean(0)
    found = check(model, now, card=card_of(model, before), progress=False)
    shape = [finding for finding in found.findings if finding.code == "columns-shape"]
    assert [finding.severity for finding in shape] == ["note"]
    assert "2 columns of 2 moved, as so few independent rows may by chance" in shape[0].claim
    assert found.ok
