"""Range cards: what comes back is what went in, hostile files only fail, and foreign columns are refused."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import kaninterp as ki
from kaninterp.analysis import analyze, layer_ranges
from kaninterp.core import DataError, FileFormatError, MissingFileError, NamesError, RangeCard, ShapeError
from kaninterp.core.frozen import same

NAMES = ("temperature", "wind <b>", "pressure")


def trained(seed=0):
    return ki.KANHead(3, 1, (2,), domain=(-1, 1), generator=torch.Generator().manual_seed(seed))


def rows(n=200, scale=1.0, seed=0):
    return scale * (2 * np.random.default_rng(seed).random((n, 3)) - 1)


@pytest.fixture
def model():
    return trained()


@pytest.fixture
def card(model):
    return RangeCard.of(ki.trace(model, rows(), feature_names=NAMES, progress=False))


def test_what_comes_back_is_what_went_in(card, tmp_path):
    card.save(tmp_path / "card.json")
    first = (tmp_path / "card.json").read_bytes()
    again = RangeCard.load(tmp_path / "card.json")
    assert same(again, card)
    again.save(tmp_path / "card.json")
    assert (tmp_path / "card.json").read_bytes() == first
    assert json.loads(first)["format"] == "kaninterp-archive"


def test_a_card_without_the_shares_below_its_quantiles_is_read(model, tmp_path):
    """Those of the first release have none."""
    card = ki.range_card(model, rows(), feature_names=NAMES, progress=False)
    card.save(tmp_path / "card.json")
    text = json.loads((tmp_path / "card.json").read_text())
    del text["noun"]["fields"]["raw"]["fields"]["shapes"]["fields"]["under"]
    (tmp_path / "old.json").write_text(json.dumps(text))
    old = RangeCard.load(tmp_path / "old.json")
    assert same(replace(old, raw=replace(old.raw, shapes=card.raw.shapes)), card)
    assert old.raw.shapes.under is None
    assert ki.check(model, rows(), card=old, feature_names=NAMES, progress=False).ok


def test_a_card_of_a_usual_head_is_a_few_kilobytes(tmp_path):
    with torch.random.fork_rng():
        model = ki.Hybrid(torch.nn.LSTM(28, 32, batch_first=True), ki.KANHead(32, 1, (8,)))
    data = np.random.default_rng(0).normal(size=(500, 6, 28))
    RangeCard.of(ki.trace(model, data, progress=False)).save(tmp_path / "card.json")
    assert (tmp_path / "card.json").stat().st_size < 20_000


def test_it_stands_in_for_the_trace_of_the_same_data(model, card):
    before, now = (ki.trace(model, rows(scale=s), feature_names=NAMES, progress=False) for s in (1.0, 3.0))
    by_card, by_trace = (analyze(now, reference=reference) for reference in (card, before))
    assert same(by_card.ranges, by_trace.ranges)
    assert by_card.findings == by_trace.findings
    assert "drift" in {finding.code for finding in by_card.findings}


def test_a_report_needs_no_training_data(model, card):
    pages = [
        ki.report(model, rows(scale=3.0), feature_names=NAMES, reference=reference, progress=False)
        for reference in (card, rows())
    ]
    texts = [json.loads(page.to_json())["sections"] for page in pages]
    found = [next(section for section in text if section["id"] == "ranges") for text in texts]
    assert found[0] == found[1]
    assert "#Change" in found[0]["blocks"][-1]["columns"]


def test_a_card_of_another_model_is_refused(card):
    other = trained(seed=1)
    now = ki.trace(other, rows(), feature_names=NAMES, progress=False)
    with pytest.raises(ShapeError, match="another model"):
        layer_ranges(now, card)
    with pytest.raises(ShapeError, match="another model"):
        ki.report(other, rows(), reference=card, progress=False)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("wind <b>", "temperature", "pressure"), "another order.*put them in its order"),
        (("temperature", "wind", "pressure"), r"missing \['wind <b>'\], not in the card \['wind'\]"),
    ],
)
def test_columns_are_those_of_the_card_in_its_order(model, card, names, words):
    with pytest.raises(NamesError, match=words):
        layer_ranges(ki.trace(model, rows(), feature_names=names, progress=False), card)
    with pytest.raises(NamesError, match=words):
        ki.report(model, rows(), feature_names=names, reference=card, progress=False)


def test_a_card_without_columns_asks_for_none(card):
    replace(card, raw=None).check_columns(("anything",))
    assert replace(card, raw=None).columns == ()


def test_nothing_seen_makes_no_card(model):
    trace = ki.trace(model, rows(), progress=False)
    empty = replace(trace, outputs=replace(trace.outputs, count=0))
    with pytest.raises(DataError, match="no rows"):
        RangeCard.of(empty)


def test_files_that_are_none_of_ours_are_refused(card, tmp_path):
    with pytest.raises(MissingFileError):
        RangeCard.load(tmp_path / "none.json")
    ki.trace(trained(), rows(), progress=False).save(tmp_path / "trace.npz")
    card.save(tmp_path / "card.json")
    text = json.loads((tmp_path / "card.json").read_text())
    wrong = {
        "no json": b"{",
        "another format": json.dumps({**text, "format": "other"}).encode(),
        "later version": json.dumps({**text, "version": 99}).encode(),
        "another noun": json.dumps({**text, "noun": text["noun"]["fields"]["card"]}).encode(),
        "npz": (tmp_path / "trace.npz").read_bytes(),
        "objects": json.dumps(text).replace('"float64"', '"object"').encode(),
        "deep": b"[" * 100_000,
    }
    for what, content in wrong.items():
        (tmp_path / f"{what}.json").write_bytes(content)
        with pytest.raises(FileFormatError, match=what):
            RangeCard.load(tmp_path / f"{what}.json")


def edited(text, **changes):
    """The JSON of a card with other fields of its outermost noun."""
    new = json.loads(json.dumps(text))
    for name, change in changes.items():
        new["noun"]["fields"][name] = change(new["noun"]["fields"][name])
    return new


def test_edited_cards_are_refused(card, tmp_path):
    card.save(tmp_path / "card.json")
    text = json.loads((tmp_path / "card.json").read_text())
    whole = next(key for key, array in text["arrays"].items() if array["dtype"] == "int64")
    halves = json.loads(json.dumps(text))
    halves["arrays"][whole]["values"] = [[0.5 for _ in row] for row in halves["arrays"][whole]["values"]]
    negative = json.loads(json.dumps(text))
    negative["arrays"][whole]["values"] = [[-1 for _ in row] for row in negative["arrays"][whole]["values"]]
    cases = {
        "layer gone": edited(text, layers=lambda layers: {"tuple": layers["tuple"][:1]}),
        "reversed": edited(text, layers=lambda layers: {"tuple": layers["tuple"][::-1]}),
        "rows": edited(text, rows=lambda _: {"value": -5}),
        "halves": halves,
        "negative": negative,
    }
    for what, case in cases.items():
        (tmp_path / f"{what}.json").write_text(json.dumps(case))
        with pytest.raises(FileFormatError, match=what):
            RangeCard.load(tmp_path / f"{what}.json")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_changed_file_fails_or_is_still_a_card(tmp_path_factory, data):
    place = tmp_path_factory.mktemp("cards") / "card.json"
    RangeCard.of(ki.trace(trained(), rows(20), progress=False)).save(place)
    content = bytearray(place.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(32, 126))
    place.write_bytes(bytes(content))
    with contextlib.suppress(FileFormatError):
        assert isinstance(RangeCard.load(place), RangeCard)
