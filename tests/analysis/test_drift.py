"""Distances of distributions against scipy, and verdicts that follow the change and not the number of rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.signal import lfilter

import kaninterp as ki
from kaninterp.adapters import as_view
from kaninterp.analysis.drift import column_drift, layer_drift
from kaninterp.analysis.two_samples import ks_chance, mean_chance, psi_limit
from kaninterp.data import as_batches
from kaninterp.measure.watching import watch

COLUMNS = 12


def drift_of(before, now, **options):
    """Columns and layers of a plain KAN, data before against data now."""
    head = ki.KANHead(before.shape[1], 1, (3,), domain=(-4, 4), generator=torch.Generator().manual_seed(0)).double()
    card = ki.range_card(head, before, progress=False)
    batches = as_batches(now, names=card.columns, dtype=torch.float64, **options)
    trace, watched = watch(head, as_view(head), batches, card)
    return column_drift(card, watched, trace), layer_drift(trace, card, watched)


def series(rng, rows, phi, columns=COLUMNS):
    noise = rng.normal(size=(rows + 200, columns)) * (1 - phi**2) ** 0.5
    return lfilter([1.0], [1.0, -phi], noise, axis=0)[200:]


@pytest.mark.parametrize("change", [lambda x: x, lambda x: x + 0.7, lambda x: 2 * x, lambda x: np.minimum(x, 0.3)])
def test_distances_are_those_of_the_rows(change):
    rng = np.random.default_rng(0)
    before, now = rng.normal(size=(3000, 4)), change(rng.normal(size=(2500, 4)))
    columns, (nodes, _) = drift_of(before, now)
    ks = [stats.ks_2samp(a, b).statistic for a, b in zip(before.T, now.T, strict=True)]
    area = [stats.wasserstein_distance(a, b) / a.std() for a, b in zip(before.T, now.T, strict=True)]
    shift = (now.mean(0) - before.mean(0)) / before.std(0)
    for found, room in ((columns, 1 / 16), (nodes, 0.3)):  # of a bin: a 16th of the rows, one of five knot intervals
        np.testing.assert_allclose(found.shift, shift)
        assert (found.ks <= np.array(ks) + 1e-3).all()
        assert (found.ks >= np.array(ks) - room).all()
    np.testing.assert_allclose(columns.wasserstein, area, atol=0.06)
    np.testing.assert_allclose(nodes.wasserstein, area, rtol=0.35, atol=0.05)


def test_chances_are_those_of_scipy():
    for distance, m, n in [(0.1, 1000, 200), (0.3, 30, 20), (0.05, 4000, 4000)]:
        exact = stats.kstwo.sf(distance, round(m * n / (m + n)))
        np.testing.assert_allclose(ks_chance(distance, m, n), exact, rtol=0.05)
    for shift, m, n in [(0.3, 1000, 50), (2, 26, 5), (1, 6, 10)]:
        exact = 2 * stats.t.sf(shift / np.sqrt(1 / m + 1 / n), m - 1)
        np.testing.assert_allclose(mean_chance(shift, m, n), exact, rtol=0.03)
    for bins in (2, 5, 17):
        np.testing.assert_allclose(
            psi_limit(bins, 100, 300), stats.chi2.isf(0.01, bins - 1) * (1 / 100 + 1 / 300), rtol=0.02
        )


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda x: x, ""),
        (lambda x: x + 0.02, ""),
        (lambda x: x + 2, "moved"),
        (lambda x: 2 * x, "changed"),
        (lambda x: np.minimum(x, 0.0), "cut"),
    ],
    ids=["none", "a trifle", "moved", "wider", "cut"],
)
@pytest.mark.parametrize("n", [200, 1000, 50_000])
def test_the_verdict_follows_the_change_and_not_the_number_of_rows(change, kind, n):
    rng = np.random.default_rng(n)
    columns, _ = drift_of(rng.normal(size=(4000, COLUMNS)), change(rng.normal(size=(n, COLUMNS))))
    right = sum(found == kind for found in columns.kind)
    assert right >= COLUMNS - 1  # one may be named, or missed at 200 rows, by chance


@pytest.mark.parametrize("n", [50, 200, 1000, 4000])
def test_slow_series_without_drift(n):
    """AR(1), phi .95: a Kolmogorov-Smirnov test on all rows alarms on most columns, this on one of a hundred."""
    rng = np.random.default_rng(n)
    named = naive = 0
    for _ in range(10):
        before, now = series(rng, 1000, 0.95), series(rng, n, 0.95)
        columns, _ = drift_of(before, now)
        named += sum(map(bool, columns.kind))
        naive += sum(stats.ks_2samp(a, b).pvalue < 0.01 for a, b in zip(before.T, now.T, strict=True))
    assert named <= 0.01 * 10 * COLUMNS + 1
    assert naive > 0.4 * 10 * COLUMNS


@pytest.mark.parametrize("seen", ["noise", "rounded"])
@pytest.mark.parametrize("n", [200, 1000, 8000])
def test_a_very_slow_series_with_noise_is_no_drift(n, seen):
    """Neighbours alone tell of a series several times as fast."""
    rng = np.random.default_rng([7, n])
    named = 0
    for _ in range(15):
        before, now = (
            lfilter([1.0], [1.0, -0.999], rng.normal(size=(m, COLUMNS)) * (1 - 0.999**2) ** 0.5, axis=0,
                    zi=0.999 * rng.normal(size=(1, COLUMNS)))[0]
            for m in (1000, n)
        )  # fmt: skip
        if seen == "noise":
            before, now = (x + 0.05 * rng.normal(size=x.shape) for x in (before, now))
        else:
            before, now = before.round(1), now.round(1)
        columns, _ = drift_of(before, now)
        named += sum(map(bool, columns.kind))
    assert named <= 0.03 * 15 * COLUMNS  # about one of a hundred, and chance on top


@pytest.mark.parametrize(("phi", "n"), [(0.0, 200), (0.95, 1000)])
def test_two_standard_deviations_are_found(phi, n):
    rng = np.random.default_rng([8, n])
    found = [drift_of(series(rng, 1000, phi), series(rng, n, phi) + 2)[0].kind for _ in range(5)]
    assert sum(map(bool, sum(found, ()))) >= 5 * COLUMNS - (phi > 0)


def test_units_order_and_batches_do_not_count():
    rng = np.random.default_rng(0)
    before, now = rng.normal(size=(700, 3)), rng.normal(size=(500, 3)) * [1, 2, 1] + [0, 0, 1]
    one, _ = drift_of(before, now)
    scale, offset = np.array([1e-6, 1.0, 1e6]), np.array([0.0, 5.0, -1e6])
    two, _ = drift_of(before * scale + offset, now * scale + offset, batch_size=7)
    for name in ("ks", "wasserstein", "psi", "shift"):
        np.testing.assert_allclose(getattr(one, name), getattr(two, name), rtol=1e-3, atol=0.02, err_msg=name)
    assert one.kind == two.kind == ("", "changed", "moved")


def test_constants_flags_and_single_rows_give_numbers():
    rng = np.random.default_rng(0)
    before = np.column_stack([np.full(300, 2.0), rng.integers(0, 2, 300), rng.integers(0, 5, 300)]).astype(float)
    for now in (before, before[:1], np.column_stack([np.full(300, 3.0), np.ones(300), 4 - before[:, 2]])):
        columns, layers = drift_of(before, now)
        for found in (columns, *layers):
            for name in ("shift", "ks", "wasserstein", "psi", "limit", "cut", "chance"):
                assert np.isfinite(getattr(found, name)).all(), name
    same, _ = drift_of(before, before)
    assert same.ks.tolist() == [0, 0, 0]
    rare, _ = drift_of(before, np.column_stack([before[:, 0], rng.uniform(size=300) < 0.9, before[:, 2]]))
    np.testing.assert_allclose(rare.ks[1], abs((before[:, 1] == 0).mean() - 0.1), atol=0.05)
    assert rare.kind == ("", "moved", "")


@pytest.mark.parametrize("value", [2.0, 1 / 3, 0.1, -7.25])
@pytest.mark.parametrize("step", [-0.01, 0.01])
def test_many_rows_at_one_value_that_now_lie_beside_it(value, step):
    """On either side of it; as scipy has it."""
    rng = np.random.default_rng(0)
    rest = value - np.abs(rng.normal(size=(500, 2)))
    rest[1::2, 1] = 2 * value - rest[1::2, 1]  # the value is the upper end of one column, the middle of the other
    often = np.arange(500) % 5 < 2
    before = np.column_stack([np.full(500, value), np.where(often[:, None], value, rest)])
    now = np.column_stack([np.full(500, value + step), np.where(often[:, None], value + step, rest)])
    columns, _ = drift_of(before, now)
    ks = [stats.ks_2samp(a, b).statistic for a, b in zip(before.T, now.T, strict=True)]
    np.testing.assert_allclose(columns.ks, ks, atol=0.01)
    assert all(columns.kind)
    assert (columns.psi > columns.limit).all()
    same, _ = drift_of(before, np.float32(before))  # as many digits as the range calls for are compared
    assert same.ks.max() == 0


def test_what_became_of_a_constant_is_said():
    rng = np.random.default_rng(0)
    before = np.column_stack([np.full((400, 4), 2.0), rng.normal(size=400)])
    rare = np.where(np.arange(400) == 7, 2.5, 2.0)
    now = np.column_stack(
        [np.full(400, 2.0), np.full(400, 1.999), 2 + rng.choice([-1, 1], 400), rare, rng.normal(size=400)]
    )
    columns, (nodes, _) = drift_of(before, now)
    words = (
        "",
        "was constant at 2, now at 1.999",
        "was constant at 2, now varies from 1 to 3",
        "was constant at 2, now varies from 2 to 2.5",
        "",
    )
    assert columns.became == nodes.became == words
    assert columns.kind == ("", "changed", "changed", "", "")
    head = ki.KANHead(5, 1, domain=(-4, 4)).double()
    card = ki.range_card(head, before, progress=False)
    text = str(ki.check(head, now, card=card, progress=False))
    assert "x1 was constant at 2, now at 1.999" in text
    assert "x2 was constant at 2, now varies from 1 to 3" in text
    page = ki.report(head, now, reference=before, progress=False)
    table = next(
        block for block in page.document.section("drift").blocks if getattr(block, "id", "") == "drift-columns"
    )
    cells = {row[0].text: row for row in table.rows}
    assert [cells[f"x{i}"][4] for i in range(4)] == ["as before", *words[1:4]]
    assert [cells["x1"][5], cells["x1"][7]] == ["n/a", "n/a"]
    assert "was constant at 2, now at 1.999" in " ".join(finding.evidence for finding in page.analysis.findings)


def test_a_limit_that_came_down_by_a_trifle_is_a_cut():
    x = np.random.default_rng(0).normal(size=(2000, 1))
    columns, _ = drift_of(np.minimum(x, 0.5), np.minimum(x, 0.49))
    assert columns.kind == ("cut",)
    np.testing.assert_allclose(columns.cut, (x >= 0.5).mean(), atol=0.001)


def test_an_atom_at_the_end_of_the_range_is_not_cut_off_by_rounding():
    rng = np.random.default_rng(0)
    x = np.where(rng.random((2000, 1)) < 0.7, 0.0, rng.exponential(size=(2000, 1)))
    before, now = (part.astype(np.float32).astype(float) for part in np.split((x - x.mean()) / x.std() / 3, 2))
    columns, _ = drift_of(before, now)
    assert columns.kind == ("",)
    assert columns.cut[0] < 0.05


def test_a_card_that_does_not_tell_values_at_a_quantile_from_those_below_works_as_before():
    rng = np.random.default_rng(0)
    before = np.column_stack([np.full(400, 1 / 3), rng.normal(size=400)])
    head = ki.KANHead(2, 1, domain=(-4, 4)).double()
    card = ki.range_card(head, before, progress=False)
    points = card.raw.shapes.quantiles
    below = (
        np.stack([np.searchsorted(np.sort(x), q, side="right") for x, q in zip(before.T, points, strict=True)]) / 400
    )
    card = replace(card, raw=replace(card.raw, shapes=replace(card.raw.shapes, below=below, under=None)))
    batches = as_batches(before, names=card.columns, dtype=torch.float64)
    trace, watched = watch(head, as_view(head), batches, card)
    columns = column_drift(card, watched, trace)
    assert columns.kind == ("", "")
    assert columns.ks.max() == 0


def test_a_node_inside_its_domain_moves_though_no_column_does():
    rng = np.random.default_rng(0)
    a = rng.uniform(-1, 1, 3000)
    before, now = np.column_stack([a, -a]), np.column_stack([a, a])
    head = ki.KANHead(2, 1, (1,), domain=(-4, 4), base="identity", noise=0.0)
    with torch.no_grad():
        head.kan_layers[0].base_weight.fill_(1.0)
        head.kan_layers[1].base_weight.fill_(1.0)
    card = ki.range_card(head, before + 0.1 * rng.normal(size=before.shape), progress=False)
    found = ki.check(head, now, card=card, progress=False)
    assert [finding.code for finding in found.findings if finding.severity != "note"] == ["layer-shape"]
    assert "No column and no earlier layer shows it." in found.findings[0].claim


def test_a_daily_cycle_in_many_rows_is_no_drift():
    """What is kept of many rows must not fall in step with the hours."""
    hours = np.arange(24 * 1000) % 24
    columns, _ = drift_of(np.column_stack([hours, np.sin(hours / 24 * 2 * np.pi)]).astype(float), np.column_stack(
        [hours[4:8764], np.sin(hours[4:8764] / 24 * 2 * np.pi)]).astype(float))  # fmt: skip
    assert columns.kind == ("", "")
    assert columns.ks.max() < 0.03
