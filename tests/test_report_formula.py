"""The formula of `ki.report`: only where it takes seconds or somebody asks, and the model stays as it is."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

import kaninterp as ki
from kaninterp.adapters import as_view
from kaninterp.core.errors import KanInterpError
from kaninterp.measure.tracing import prepared
from kaninterp.render.cells import Table
from kaninterp.workflows.writing import MOST_EDGES, MOST_PATHS_ASKED, paths, written
from tests.tiny import hybrid

FAST = {"trust": False, "progress": False}


def rows(n=600, columns=3, seed=0):
    return 2 * torch.rand(n, columns, generator=torch.Generator().manual_seed(seed)) - 1


def trained(x, y, widths, seed=0, **options):
    head = ki.KANHead(
        widths[0], widths[-1], tuple(widths[1:-1]), domain=(-1, 1), generator=torch.Generator().manual_seed(seed)
    )
    ki.fit(head, (x, y), epochs=10, seed=seed, progress=False, **{"optimizer": "lm", "validation": None, **options})
    return head


@pytest.fixture(scope="module")
def square():
    """3 a^2 - b of two of three columns."""
    x = rows()
    y = 3 * x[:, :1] ** 2 - x[:, 1:2] + 0.05 * torch.randn(600, 1, generator=torch.Generator().manual_seed(1))
    return trained(x[:480], y[:480], (3, 1)), pd.DataFrame(
        torch.cat([x, y], 1).numpy(), columns=["a", "wind speed", "c", "y"]
    )


def test_a_law_is_in_the_report_and_the_model_stays_as_it_was(square):
    head, table = square
    before = {name: value.clone() for name, value in head.state_dict().items()}
    state = torch.random.get_rng_state()
    page = ki.report(head, table, target="y", **FAST)
    found = page.analysis.formula
    assert found.outputs[0].name == page.analysis.trace.output_names[0]
    assert found.outputs[0].reads == (0, 1)
    assert "a**2" in found.outputs[0].text
    assert "`wind speed`" in found.outputs[0].text
    assert found.losses.holds
    assert found.losses.rows == 120
    assert found.losses.rise.low <= found.losses.formula - found.losses.model <= found.losses.rise.high
    assert f"<code>{found.outputs[0].name} = " in page.to_html()
    assert all(torch.equal(value, before[name]) for name, value in head.state_dict().items())
    assert torch.equal(state, torch.random.get_rng_state())
    assert page.to_html() == ki.report(head, table, target="y", **FAST).to_html()


def test_nobody_is_told_of_a_formula_without_a_target_or_against_the_will(square):
    head, table = square
    bare = ki.report(head, table[["a", "wind speed", "c"]], **FAST)
    unwanted = ki.report(head, table, target="y", formula=False, **FAST)
    assert bare.analysis.formula is unwanted.analysis.formula is None
    assert "formula" not in {section.id for section in bare.document.sections}
    assert "formula=False" in unwanted.to_html()
    asked = ki.report(head, table[["a", "wind speed", "c"]], formula=True, **FAST)
    lead = asked.document.section("formula").lead
    assert lead == "No formula: a formula is judged by a target, and the data have none."


def test_a_large_kan_is_written_down_only_if_asked_for():
    x = rows(200, 12)
    head = ki.KANHead(12, 1, (8,), generator=torch.Generator().manual_seed(0))
    batches = prepared(head, (x, x[:, :1]))
    found = written(head, batches)
    assert found.live == 104 > MOST_EDGES
    assert not found.outputs
    assert "formula=True" in found.remark


def test_ways_are_counted_along_live_edges_only():
    head = ki.KANHead(3, 1, (2,) * 20, generator=torch.Generator().manual_seed(0))
    alive = [layer.alive for layer in as_view(head).layers]
    assert paths(alive) == 3 * 2**20 > MOST_PATHS_ASKED
    alive[5] = alive[5].copy()
    alive[5][0] = False
    assert paths(alive) == 3 * 2**19
    x = rows(100)
    found = written(head, prepared(head, (x, x[:, :1])), asked=True)
    assert "3,145,728 ways" in found.remark


def test_a_classifier_is_told_as_logits():
    x = rows(600, 2)
    y = (x[:, 0] + x[:, 1] ** 2 > 0.3).long()
    head = trained(x, y, (2, 2), optimizer="lbfgs")
    page = ki.report(head, (x, y), target_names=["no", "yes"], **FAST)
    found = page.analysis.formula
    assert [output.name for output in found.outputs] == ["no", "yes"]
    assert found.losses.name == "cross_entropy"
    assert "What is written are logits" in page.to_html()


def test_units_of_a_backbone_lead_to_their_passports():
    X = torch.randn(300, 5, 4, generator=torch.Generator().manual_seed(0))
    model = hybrid()
    with torch.no_grad():
        y = model(X)
    y = y + 0.05 * y.std() * torch.randn(300, 1, generator=torch.Generator().manual_seed(1))
    page = ki.report(model, (X, y), **FAST)
    found = page.analysis.formula
    assert found.outputs
    assert "`unit " in found.outputs[0].text
    tables = {block.id: block for block in page.document.section("formula").blocks if isinstance(block, Table)}
    assert len(tables["formula-units"].rows) == len(found.outputs[0].reads) > 0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda x, y: (x[:30], y[:30]),
        lambda x, y: (torch.cat([x[:, :2], 0 * x[:, 2:]], 1), y),
        lambda x, y: (x, 0 * y),
        lambda x, y: (0 * x, y),
    ],
    ids=["30 rows", "a constant column", "a constant target", "constant inputs"],
)
def test_poor_data_give_a_formula_or_a_reason(spoil, square):
    head, table = square
    x = torch.tensor(table[["a", "wind speed", "c"]].to_numpy())
    y = torch.tensor(table[["y"]].to_numpy())
    found = written(head, prepared(head, spoil(x, y)))
    assert bool(found.outputs) != bool(found.remark)


def test_a_kan_that_is_constant_has_no_formula():
    head = ki.KANHead(2, 1, generator=torch.Generator().manual_seed(0))
    head.kan_layers[0].set_mask(torch.zeros(1, 2))
    x = rows(100, 2)
    assert "it is a constant" in written(head, prepared(head, (x, x[:, :1]))).remark


def test_a_model_that_goes_on_after_its_kan_gives_the_reason():
    model = torch.nn.Sequential(ki.KANHead(3, 2, generator=torch.Generator().manual_seed(0)), torch.nn.Linear(2, 1))
    x = rows(200)
    found = written(model, prepared(model, (x, x[:, :1])))
    assert "does something with the KAN's output" in found.remark
    with pytest.raises(KanInterpError):
        ki.report(model, x[:, :2], **FAST)  # what does not fit is still an error, not a remark


def test_a_column_named_like_a_spline_is_none(square):
    head, table = square
    named = table.rename(columns={"a": "phi_mean"})
    page = ki.report(head, named, target="y", **FAST).to_html()
    assert "phi_mean**2" in page
    assert "is an edge that stayed a spline" not in page


def test_a_loss_that_is_a_module_makes_logits_too():
    x = rows(600, 2)
    y = (x[:, 0] > 0.3).long()
    page = ki.report(trained(x, y, (2, 2), optimizer="lbfgs"), (x, y), loss=torch.nn.CrossEntropyLoss(), **FAST)
    assert page.analysis.formula.outputs
    assert "What is written are logits" in page.to_html()
