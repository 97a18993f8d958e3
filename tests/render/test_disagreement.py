"""A ruler that lies: edges with a small weight norm and a large effect are named over the network, on real heads."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

import kaninterp as ki
from kaninterp.analysis import analyze, rank_agreement, understated
from kaninterp.analysis.findings_edges import AGREEMENT
from kaninterp.analysis.understated import FAINT, STRONG
from kaninterp.measure import ablate_edges, trace
from kaninterp.render.blocks import Paragraph
from tests.planted import additive
from tests.tiny import known_head, known_layer, zero

WIDTH = 14


def warning(page) -> str:
    blocks = page.document.section("network").blocks
    return " ".join(b.text for b in blocks if isinstance(b, Paragraph) and b.tone == "warning")


def amplified(small: float = 0.02):
    """A head 14-2-1: 13 edges into node 0 whose norms order their effects; the last, small one into a steep node 1."""
    sizes = np.linspace(0.3, 1.0, WIDTH - 1)
    into_first = [*((lambda x, a=a: a * torch.sin(2 * x)) for a in sizes), zero]
    into_second = [zero] * (WIDTH - 1) + [lambda x: small * x]
    first = known_layer([into_first, into_second])
    second = known_layer([[lambda x: 0.3 * x, lambda x: x / small]], lo=-6.0, hi=6.0)
    first.set_mask(torch.tensor([[1.0] * (WIDTH - 1) + [0.0], [0.0] * (WIDTH - 1) + [1.0]], dtype=torch.float64))
    return known_head(first, second)


def data(seed: int, head):
    x = torch.as_tensor(np.random.default_rng(seed).uniform(-1, 1, (800, WIDTH)))
    with torch.no_grad():
        return x, head(x)


@pytest.mark.parametrize("seed", range(5))
def test_a_small_function_that_is_amplified_downstream_is_named_in_the_banner(seed):
    head = amplified()
    x, y = data(seed, head)
    page = ki.report(head, (x, y), trust=False, progress=False)
    found = {(e.layer, e.dst, e.src): e for e in understated(page.analysis)}
    assert set(found) == {(0, 1, WIDTH - 1), (1, 0, 0)}  # the norm of the steep edge dwarfs its neighbour
    edge = found[0, 1, WIDTH - 1]
    assert edge.size < 0.05
    assert edge.effect == 1.0
    said = warning(page)
    assert "By size alone you would overlook node 1.0 → y0" in said
    assert re.search(rf"x{WIDTH - 1} → node 1.1 \([\d.]+ % of the largest [a-z ]+ of its layer, but 100 % of", said)
    alone = page.analysis.edge_ablation.node(0, WIDTH - 1, "out")  # and the loss says so, too
    others = [page.analysis.edge_ablation.node(0, src, "out") for src in range(WIDTH - 1)]
    assert alone.low > max(other.high for other in others)
    assert " would be overlooked by weight norm: it has" in " ".join(str(page).split())


def test_ranks_alone_would_not_have_shown_it():
    """All other edges agree, so that the rank correlation of norm and effect counts as agreement."""
    head = amplified()
    analysis = analyze(trace(head, data(0, head), progress=False))
    assert rank_agreement(analysis, 0)["norm", "kan2"] >= AGREEMENT
    assert any(edge.layer == 0 for edge in understated(analysis))


def test_a_function_of_usual_size_is_not_named():
    head = amplified(small=1.0)
    page = ki.report(head, data(0, head), trust=False, progress=False)
    assert understated(page.analysis) == ()
    assert "overlook" not in warning(page)


@pytest.fixture(scope="module")
def trained():
    """A head 8-3-1 fitted to three columns that count."""
    planted = additive(n=1200, seed=0)
    head = ki.KANHead(8, 1, (3,), base="identity", generator=torch.Generator().manual_seed(0))
    half = slice(0, 800), slice(800, None)
    ki.fit(head, (planted.X[half[0]], planted.y[half[0]]), epochs=30, lr=2e-2, seed=0, progress=False)
    return head.eval(), (planted.X[half[1]], planted.y[half[1]])


def rescaled(head, node: int, factor: float):
    """The same function: one hidden node is ``factor`` as large, and the next layer's grid and base weight follow."""
    first, second = head.kan_layers
    with torch.no_grad():
        first.weight[node] *= factor
        first.bias[node] *= factor
        second.base_weight[:, node] /= factor
        scale = torch.ones(second.in_features)
        scale[node] = factor
        lo, hi = second.domain
        second.set_domain(lo * scale, hi * scale)
    return head


def test_a_trained_head_written_differently_predicts_the_same_and_is_seen_through(trained):
    head, (X, y) = trained
    before = analyze(trace(head, (X, y), progress=False))
    node = int(before.scores[1].nodes_kan2[0].argmax())
    strongest = int(before.scores[0].kan2[0, node].argmax())
    predicted = head(torch.as_tensor(X, dtype=torch.float32)).detach()
    state = {key: value.clone() for key, value in head.state_dict().items()}
    try:
        rescaled(head, node, 0.01)
        after = head(torch.as_tensor(X, dtype=torch.float32)).detach()
        assert torch.allclose(predicted, after, atol=2e-5)
        page = ki.report(head, (X, y), trust=False, progress=False)
    finally:
        head.load_state_dict(state)
    assert page.analysis.scores[0].kan2 == pytest.approx(before.scores[0].kan2, abs=1e-4)
    found = {(e.layer, e.dst, e.src) for e in understated(page.analysis)}
    assert (0, node, strongest) in found
    assert not {(e.layer, e.dst, e.src) for e in understated(before)} & found
    assert "By size alone you would overlook" in warning(page)
    assert f"→ node 1.{node} (" in warning(page)


def test_removal_sees_what_the_norm_does_not(trained):
    """The loss when removed does not depend on how the function is written."""
    head, held = trained
    before = ablate_edges(head, held).change[0]
    state = {key: value.clone() for key, value in head.state_dict().items()}
    try:
        after = ablate_edges(rescaled(head, 0, 0.01), held).change[0]
    finally:
        head.load_state_dict(state)
    assert after == pytest.approx(before, abs=1e-4 * np.nanmax(before))


def test_masked_edges_and_layers_that_do_nothing_are_not_judged():
    head = amplified()
    analysis = analyze(trace(head, data(0, head), progress=False))
    dead = tuple(replace(s, kan2=0 * s.kan2) for s in analysis.scores)
    assert understated(replace(analysis, scores=dead)) == ()
    layer = analysis.trace.layers[0]
    alive = layer.edges.alive.copy()
    alive[1, -1] = False
    masked = replace(layer, edges=replace(layer.edges, alive=alive))
    trace_ = replace(analysis.trace, layers=(masked, *analysis.trace.layers[1:]))
    assert [e.layer for e in understated(replace(analysis, trace=trace_))] == [1]


def test_limits_are_met_exactly():
    """An edge at both limits counts; a hair beyond either does not."""
    head = amplified()
    analysis = analyze(trace(head, data(0, head), progress=False))
    first = analysis.scores[0]

    def judged(size: float, effect: float) -> int:
        norm, kan2 = np.ones_like(first.norm), np.ones_like(first.kan2)
        norm[1, -1], kan2[0, 1, -1] = size, effect
        kan2[:, 0, :-1] = np.where(np.arange(WIDTH - 1) == 0, 1.0, 0.0)
        scores = (replace(first, norm=norm, strength=np.ones_like(norm), kan2=kan2), *analysis.scores[1:])
        return sum(e.layer == 0 for e in understated(replace(analysis, scores=scores)))

    assert judged(FAINT, STRONG) == 1
    assert judged(FAINT * 1.001, STRONG) == 0
    assert judged(FAINT, STRONG * 0.999) == 0
