"""Names of raw columns: one source, whatever asks for them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import kaninterp as ki
from kaninterp.compat import KAN
from kaninterp.core.errors import NamesError
from kaninterp.measure.tracing import prepared
from kaninterp.nn import prune_head

NAMES = ("temp", "wind")


@pytest.fixture(scope="module")
def data():
    x = torch.as_tensor(np.random.default_rng(100).uniform(-1, 1, (600, 2)).astype("float32"))
    return x, x[:, :1] ** 2 + x[:, 1:]


@pytest.fixture(scope="module")
def head(data):
    made = ki.KANHead(2, 1, input_names=NAMES, generator=torch.Generator().manual_seed(0))
    ki.fit(made, data, optimizer="lm", epochs=10, seed=0, progress=False)
    return made


def frame(data, names):
    return pd.DataFrame(torch.cat(data, dim=1).numpy(), columns=[*names, "y"])


def test_columns_without_names_are_called_as_the_head_calls_them(head, data):
    trace = ki.trace(head, data, progress=False)
    assert trace.raw.names == NAMES
    assert [trace.node_name(0, i) for i in (0, 1)] == list(NAMES)
    assert ki.trace(head, data[0].numpy(), progress=False).raw.names == NAMES
    assert ki.range_card(head, data, progress=False).columns == NAMES
    assert ki.formula(head, data, progress=False).formula.input_names == NAMES


def test_the_report_has_one_name_for_a_column(head, data):
    html = ki.report(head, data, progress=False).to_html()
    assert "temp" in html
    assert "x0" not in html
    assert "x1" not in html


def test_a_pruned_head_names_every_column_it_is_given(head, data):
    trace = ki.trace(head, data, progress=False)
    smaller, _ = prune_head(head, [np.array([[False, True]])])
    assert smaller.select == (1,)
    again = ki.trace(smaller, data, progress=False)
    assert again.raw.names == trace.raw.names == NAMES
    assert again.node_name(0, 0) == "wind"
    assert ki.formula(smaller, data, progress=False).formula.input_names == ("wind",)
    with pytest.raises(NamesError, match="another order"):
        ki.trace(smaller, data, feature_names=NAMES[::-1], progress=False)


def test_names_of_the_data_and_of_the_user_stay(head, data):
    for given in (
        {"data": frame(data, ("a", "b")), "target": "y"},
        {"data": data, "feature_names": ["a", "b"]},
        {"data": frame(data, NAMES), "target": "y"},
    ):
        expected = ("a", "b") if given.get("feature_names") or "a" in given["data"] else NAMES
        assert ki.trace(head, progress=False, **given).raw.names == expected
        assert ki.formula(head, progress=False, **given).formula.input_names == expected
    assert ki.trace(head, {"x": data[0]}, progress=False).raw.names == ("x.0", "x.1")


def test_the_names_of_the_head_in_another_order_are_refused(head, data):
    turned = frame(data, NAMES[::-1])
    for ask in (ki.trace, ki.formula, ki.report, ki.fit, ki.attribute, ki.range_card):
        with pytest.raises(NamesError, match=r"another order.*data\[list\(head.input_names\)\]"):
            ask(head, turned, target="y", progress=False)
    with pytest.raises(NamesError, match="another order"):
        ki.formula(head, data, feature_names=NAMES[::-1], progress=False)
    with pytest.raises(NamesError, match="another order"):
        ki.fit(head, data, validation=(turned[["wind", "temp"]], turned["y"]), progress=False)


def test_a_check_takes_a_table_by_the_names_of_its_card(head, data):
    card = ki.range_card(head, data, progress=False)
    assert ki.check(head, frame(data, NAMES)[["wind", "temp"]], card=card, progress=False).ok
    assert ki.check(head, data[0], card=card, progress=False).ok
    with pytest.raises(NamesError, match="another order"):
        ki.check(head, data[0], card=card, feature_names=NAMES[::-1], progress=False)


def test_below_a_backbone_and_on_windows_the_head_names_no_column(head, data):
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), head)
    assert ki.trace(model, data, progress=False).raw.names == ("x0", "x1")
    assert ki.trace(model, data, feature_names=NAMES[::-1], progress=False).raw.names == NAMES[::-1]
    assert prepared(head, data[0].reshape(150, 4, 2)).names == ("x0", "x1")


def test_a_name_that_shows_nothing_names_nothing(data):
    head = ki.KANHead(2, 1, input_names=["\n", "wind"])
    assert prepared(head, data).names == ("x0", "x1")


def test_a_model_that_hands_its_inputs_to_its_head_as_they_are(data):
    model = KAN(width=[2, 1], grid=3, seed=0)
    model.head.input_names = NAMES
    assert prepared(model, data).names == NAMES
    with pytest.raises(NamesError, match="another order"):
        prepared(model, frame(data, NAMES[::-1]), target="y")


def test_a_generator_loses_no_batch_to_its_names(head, data):
    parts = (part for part in (data[0][:300], data[0][300:]))
    trace = ki.trace(head, parts, progress=False)
    assert trace.rows == 600
    assert trace.raw.names == NAMES


def test_nodes_of_a_pruning_are_called_as_in_its_trace(head, data):
    analysis = ki.analyze(ki.trace(head, data, feature_names=["a", "b"], progress=False))
    _, told = ki.prune(head, analysis.plan)
    assert set(told.node_names[0]) <= {"a", "b"}
