"""What is done with a whole model, done with KANs of other libraries: the report, attribution, ranges, pruning."""

from __future__ import annotations

import pytest
import torch

import kaninterp as ki
from kaninterp.core import ModelError
from kaninterp.measure import with_kan_head
from tests.adapters.peers import PEERS, pykan


def data(n=120):
    x = torch.rand(n, 3, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return x, torch.sin(2 * x[:, :1]) + x[:, 1:2] ** 2


def trained_pykan():
    model, (x, y) = pykan([3, 4, 1]), data(400)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=25, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    return model


def test_the_report_of_a_pykan_model_is_whole():
    model, (x, y) = trained_pykan(), data(160)
    page = ki.report(model, (x, y), feature_names=["a", "b", "c"], progress=False)
    found = page.analysis
    assert found.ablation.change.argmin() == 2
    html = page.to_html()
    assert "measured on a copy whose MultKAN is converted by from_kan" in html
    for section in ("Inputs", "Ranges", "Trust", "Glossary"):
        assert section in html
    assert "of a copy whose MultKAN is converted" in html  # heads trained anew, in Trust
    assert "only a KANHead" not in html


@pytest.mark.parametrize("name", ["pykan, symbolic", "fast-kan", "ChebyKAN", "kanditioned"])
def test_attribution_and_ranges(name):
    torch.manual_seed(0)
    kan, (x, _) = PEERS[name]((3, 4, 1)), data()
    ki.attribute(kan, x, progress=False)
    card = ki.range_card(kan, x, progress=False)
    with ki.RangeMonitor(kan, card, every=1) as monitor:
        kan(x)
    assert monitor.seen.rows == len(x)


def test_pruning_says_what_to_do_first():
    kan, (x, y) = PEERS["efficient-kan"]((3, 4, 1)), data()
    plan = ki.analyze(ki.trace(kan, x, progress=False)).plan
    for given in (plan, (x, y)):
        with pytest.raises(ModelError, match=r"only a KANHead can be pruned.*from_kan"):
            ki.prune(kan, given)
    with pytest.raises(ModelError, match="from_kan"):
        ki.would_bend(kan, (x, y))


def test_a_host_gets_the_converted_head():
    host = torch.nn.Sequential(torch.nn.Linear(3, 3), PEERS["efficient-kan"]((3, 4, 1)))
    new, (x, _) = with_kan_head(host), data()
    assert isinstance(new[1], ki.KANHead)
    assert new[0] is not host[0]
    torch.testing.assert_close(new(x), host(x), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("scale", [0.02, 1.0, 40.0])
def test_advice_fits_a_kan_that_is_no_head_of_ours(scale):
    torch.manual_seed(0)
    kan, (x, y) = PEERS["efficient-kan"]((3, 4, 1)), data()
    page = ki.report(kan, (scale * x, y), trust=False, progress=False)
    said = " ".join(finding.advice for finding in page.analysis.findings)
    html = page.to_html()
    for ours in ("head.update", "update() on the head", "base='zero'", "kaninterp.prune(model"):
        assert ours not in said
        assert ours not in html
    if scale != 1.0:
        assert "update_grid" in said
    if scale < 1.0:  # far outside, a silu has a kink and is no line
        assert "With kaninterp.from_kan(model) in the place of the KAN, kaninterp.would_bend" in said
