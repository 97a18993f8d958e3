"""Analysis objects of any shape, made of formulas: what the report is tested on without training a model."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np

from kaninterp.analysis.answers import Answer, answers
from kaninterp.analysis.bundle import Analysis, LayerScores, LayerStraightness
from kaninterp.analysis.ranges import ranges_of
from kaninterp.analysis.trust import judge
from kaninterp.core import (
    EdgeAblation,
    EdgeMask,
    EdgeTable,
    Effect,
    Estimate,
    Finding,
    InputAblation,
    InputAttribution,
    Interactions,
    LayerTrace,
    ModelCard,
    NodeTable,
    PartTable,
    Passport,
    Passports,
    PruneCost,
    PrunePlan,
    RangeTable,
    RawTable,
    Reason,
    Shadows,
    SurvivalCurve,
    Trace,
    TrustReading,
    Twins,
    Verdict,
)
from kaninterp.core.written import Written, WrittenEdge, WrittenLosses, WrittenOutput

GRID, ORDER, ROWS = 5, 3, 1752
PLAN_THRESHOLD = 0.03

PLACES = ("EWR", "JFK", "LGA")
MEASURES = ("temp", "dewp", "humid", "wind_speed", "wind_u", "wind_v", "precip", "pressure")
WEATHER = (*(f"{place}_{what}" for place in PLACES for what in MEASURES), *(f"noise_{i}" for i in range(4)))

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"quoted\" & 'single' `tick`",
    "שלום עולם",
    "\u202eevil override",
    "🌡️ temperature 🔥",
    "x" * 300,
    "42",
    "",
    "twin",
    "twin",
    "{{ 7*7 }} {% raw %}",
    "line\nbreak\ttab\x00nul",
    "温度と湿度の長い名前がここにあります",
    "]]>--><!--",
    "\ud800 lone",
)


def synthetic(
    widths: tuple[int, ...],
    *,
    names: tuple[str, ...] | None = WEATHER,
    lags: int = 24,
    backbone: bool = True,
    live_units: int | None = None,
    loss: bool = True,
    measured: bool = True,
    seed: int = 0,
    output_names: tuple[str, ...] | None = None,
    reference: bool = True,
    trust: tuple[TrustReading, ...] | None = None,
) -> Analysis:
    """Analysis of a made-up model: ``live_units`` leaves only so many head inputs with live edges."""
    rng = np.random.default_rng(seed)
    alive = _alive(widths, live_units, rng)
    layers = tuple(_layer(a, rng) for a in alive)
    scores = _scores(layers, widths, rng)
    raw = None if names is None else _raw(names, lags, rng)
    trace = Trace(
        layers=layers,
        outputs=_nodes(widths[-1], rng),
        raw=raw,
        output_names=output_names or tuple(f"temp_in_{6 * (i + 1)}h" for i in range(widths[-1])),
        card=_card(widths, backbone),
        data="DataFrame 1752 x 28, windows of 24",
        data_fingerprints=("d" * 64,),
    )
    ablation = _ablation(names, widths, rng, loss) if names is not None and measured else None
    return Analysis(
        passports=_passports(names, widths, lags, backbone, seed) if ablation else None,
        leaks=(),
        swaps=(),
        interactions=_interactions(names, len(trace.output_names), seed) if names is not None and measured else None,
        trace=trace,
        ablation=ablation,
        attribution=_attribution(names, lags, widths, ablation, rng) if ablation and names else None,
        curve=_curve(ablation) if ablation else None,
        edge_ablation=_edge_ablation(scores, alive, rng) if measured else None,
        drift=None,
        shapes=None,
        scores=scores,
        ranges=tuple(_ranges(layer, reference) for layer in layers),
        straightness=tuple(_straight(layer, rng) for layer in layers),
        verdicts=_verdicts(ablation) if ablation else (),
        plan=_plan(alive, scores, layers, names, ablation),
        findings=_findings(names),
        shadows=_shadows(ablation, alive) if ablation and loss else None,
        trust=None if trust is None else judge(trust),
    )


def _interactions(names, outputs, seed):
    """The first columns, whose pairs are weaker and weaker; the last of them acts alone."""
    rng = np.random.default_rng(seed)
    k = min(len(names), 8)
    share = 0.3 * rng.uniform(size=(outputs, k, k)) ** 4
    share[:, -1] = share[:, :, -1] = 0
    share = np.triu(share, 1) + np.triu(share, 1).swapaxes(1, 2)
    return Interactions(
        names=tuple(names[:k]),
        columns=np.arange(k),
        outputs=tuple(f"y{i}" for i in range(outputs)),
        rows=1000,
        block=10,
        repeats=2,
        total=share.max(2),
        share=share,
        low=0.8 * share,
        high=1.25 * share,
        left_out=0.01 if len(names) > k else 0.0,
    )


def cost_of(analysis: Analysis) -> PruneCost:
    plan = analysis.plan
    kept = int(plan.inputs.sum())
    return PruneCost(
        loss="mse",
        rows=1752,
        before=Estimate(value=0.0824, low=0.0761, high=0.0893),
        after=Estimate(value=0.0831, low=0.0766, high=0.0902),
        difference=Estimate(value=0.0007, low=-0.0003, high=0.0018),
        inputs=(len(plan.input_names), kept),
        edges=(plan.mask.size, plan.mask.count),
        nodes=(sum(plan.mask.widths), sum(int(n.sum()) for n in plan.mask.nodes())),
        parameters=(10017, 4125),
        largest_gap=2.4e-7,
    )


def answers_of(analysis: Analysis) -> tuple[Answer, ...]:
    return answers(analysis, cost_of(analysis))


def _alive(widths, live_units, rng):
    layers = [rng.random((d, s)) > 0.06 for s, d in pairwise(widths)]
    if live_units is not None:
        layers[0][:, rng.permutation(widths[0])[live_units:]] = False
        layers[0][:, layers[0].any(0)] = True
    for layer in layers[1:]:
        layer[:] = True
    return layers


def _nodes(n, rng):
    mean, std = rng.normal(0, 0.2, n), rng.uniform(0.1, 0.5, n)
    return NodeTable(count=ROWS, mean=mean, m2=std**2 * ROWS, low=mean - 3 * std, high=mean + 3 * std,
                     whole=np.zeros(n, bool))  # fmt: skip


def _layer(alive, rng):
    dst, src = alive.shape
    low, high = -1.0 - rng.random(src) * 0.2, 1.0 + rng.random(src) * 0.2
    knots = np.linspace(low, high, GRID + 1).T
    step = (high - low) / GRID
    curve_x = np.linspace(low - ORDER * step, high + ORDER * step, 67).T
    scale = alive * rng.lognormal(-1.6, 1.1, (dst, src)) / np.sqrt(src)
    shape = rng.integers(0, 5, (dst, src, 1))
    x = np.broadcast_to(curve_x[None], (dst, src, 67))
    phase = rng.uniform(-1, 1, (dst, src, 1))
    curves = np.choose(
        shape, [x, np.sin(2.4 * x + phase), x**2 - 0.4, np.tanh(3 * (x - 0.4 * phase)), np.exp(-3 * (x + phase) ** 2)]
    )
    curves = scale[..., None] * curves * np.where(phase > 0, 1, -1)
    inside = rng.multinomial(int(ROWS * 0.97), rng.dirichlet(np.ones(GRID)), src)
    rest = ROWS - inside.sum(1)
    outside = np.stack([0 * rest, rest // 2, rest - rest // 2, 0 * rest], 1)
    outside[0], inside[0] = (ROWS // 3, ROWS // 8, 0, 0), 0
    inside[0, 0] = ROWS - outside[0].sum()
    mean = curves[..., 20:48].mean(-1)
    std = curves[..., 20:48].std(-1)
    return LayerTrace(
        inputs=NodeTable(
            count=ROWS,
            mean=np.zeros(src),
            m2=np.full(src, 0.1 * ROWS),
            low=low * 0.8,
            high=high * (1.05),
            whole=np.zeros(src, bool),
        ),
        ranges=RangeTable(knots=knots, order=ORDER, intervals=inside, outside=outside),
        edges=EdgeTable(
            count=ROWS,
            mean=mean,
            m2=std**2 * ROWS,
            with_output=std * ROWS * 0.1,
            with_input=std * ROWS * 0.1,
            alive=alive,
            bias=rng.normal(0, 0.1, dst),
            curve_x=curve_x,
            curves=curves,
            base_curves=0.2 * curves,
        ),
        parts=PartTable(
            mean=0.2 * mean,
            m2=0.04 * std**2 * ROWS,
            with_edge=0.2 * std**2 * ROWS,
            with_input=0.02 * std * ROWS,
            start=np.full((dst, src), 0.1),
            untouched=np.zeros((dst, src), bool),
        ),
    )


def _scores(layers, widths, rng):
    result = []
    n_out = widths[-1]
    weight = np.eye(n_out)
    for layer in reversed(layers):
        strength = layer.edges.strength
        share = strength**2 / np.maximum((strength**2).sum(1, keepdims=True), 1e-30)
        share = share * np.where((rng.random(share.shape) < 0.3) & (share < 0.05), -0.5, 1.0)
        total = share.sum(1, keepdims=True)
        share = np.where(total == 0, 0.0, share / np.where(total == 0, 1, total))
        path = weight[:, :, None] * share[None]
        kan2 = np.sqrt(np.abs(path))
        norm = strength * rng.lognormal(0, 0.35, strength.shape)
        result.append(
            LayerScores(
                norm=norm,
                strength=strength,
                share=share,
                kan2=kan2,
                path=path,
                nodes_kan2=kan2.sum(1),
                nodes_path=path.sum(1),
            )
        )
        weight = path.sum(1)
    return tuple(reversed(result))


def _raw(names, lags, rng):
    f = len(names)
    mix = rng.normal(size=(f, f)) * 0.3 + np.eye(f)
    return RawTable(names=names, nodes=_nodes(f, rng), co=mix @ mix.T * ROWS, lags=lags)


def _card(widths, backbone):
    return ModelCard(
        model="Hybrid" if backbone else "KANHead",
        head="KANHead",
        path="head" if backbone else "",
        fingerprint="a" * 64,
        parameters=10017,
        head_parameters=1305,
        widths=widths,
        node_ids=tuple(tuple(range(n)) for n in widths),
        options=(("grid", "5"), ("order", "3"), ("dtype", "float32"), ("device", "cpu")),
    )


def _ablation(names, widths, rng, loss):
    f = len(names)
    change = np.sort(rng.lognormal(-5.4, 1.3, f))[::-1].copy()
    change[f // 3 :] = rng.normal(0, 2e-4, f - f // 3)
    reads = np.ones(f, bool)
    reads[-3:] = False
    change[~reads] = 0.0
    width = np.where(reads, 3e-4 + 0.15 * np.abs(change), 0.0)
    use = np.sqrt(np.maximum(change, 1e-7))
    shares = []
    for n in widths:
        share = rng.dirichlet(np.full(f, 0.4), n) * use
        shares.append(share / share.sum(1, keepdims=True))
    return InputAblation(
        names=names,
        loss="mse" if loss else "output change",
        rows=ROWS,
        block=24,
        repeats=5,
        base=Estimate(value=0.0824, low=0.0761, high=0.0893),
        change=change,
        low=change - width,
        high=change + width,
        p_value=np.where(change - width > 0, 0.001, 0.4),
        reads=reads,
        norms=np.where(reads, rng.uniform(0.1, 1.2, f), 0.0),
        node_shares=tuple(s * reads * 0.93 for s in shares),
    )


def _attribution(names, lags, widths, ablation, rng):
    f, o = len(names), widths[-1]
    decay = np.exp(-np.arange(lags)[:, None] / rng.uniform(1, 12, f))
    weight = np.sqrt(np.maximum(ablation.change, 0)) + 0.002 * ablation.reads
    magnitude = np.broadcast_to(decay * weight, (2, o, lags, f)) * rng.uniform(0.8, 1.2, (2, o, lags, f))
    node_lags = tuple(
        decay * s[:, None, :] * rng.uniform(0.7, 1.3, (n, lags, f))
        for s, n in zip(ablation.node_shares, widths, strict=True)
    )
    return InputAttribution(
        names=names,
        rows=256,
        baselines=("mean of the data", "zeros"),
        signed=magnitude * rng.choice([-1, 1], (1, 1, 1, f)),
        magnitude=magnitude,
        residual=np.full((2, o), 0.004),
        perturbation=magnitude.mean((0, 2)) * 3,
        node_lags=node_lags,
    )


def _curve(ablation):
    order = np.argsort(-ablation.change, kind="stable")
    f = len(order)
    loss = 0.0824 + 0.9 * np.exp(-np.arange(f + 1) / max(f / 12, 0.5))
    return SurvivalCurve(order=order, loss=loss, low=loss * 0.93, high=loss * 1.08, chosen=min(f, max(1, f // 3)))


def _edge_ablation(scores, alive, rng):
    change = tuple(
        np.where(a, s.strength**2 * rng.lognormal(0, 0.9, a.shape), 0.0) for s, a in zip(scores, alive, strict=True)
    )
    out, into = [tuple(layer.sum(axis) for layer in change) for axis in (0, 1)]
    error, out_error, into_error = [tuple(0.1 * layer for layer in layers) for layers in (change, out, into)]
    few = min(2, change[0].shape[1])
    together = Estimate(value=0.0, low=-0.001, high=0.001)
    twins = (Twins(layer=0, dst=0, src=(0, few - 1), together=together),) if few == 2 else ()
    return EdgeAblation(
        loss="mse",
        rows=512,
        base=0.08,
        change=change,
        error=error,
        out=out,
        out_error=out_error,
        into=into,
        into_error=into_error,
        twins=twins,
    )


def _passports(names, widths, lags, backbone, seed):
    """Of every node: described or not, with and without a formula, of one to three columns; one that is constant."""
    rng = np.random.default_rng(1000 + seed)  # its own: what is above stays as it was
    nodes = []
    for layer in range(0 if backbone else 1, len(widths)):
        for index in range(widths[layer]):
            known = (layer, index) != (1, 0)
            picked = rng.permutation(len(names))[: 1 + index % 3] if known else ()
            effects = tuple(_effect(names[c], int(c), lags, rng) for c in picked)
            r2 = float(rng.uniform(-0.1, 1.0))
            nodes.append(
                Passport(
                    layer=layer,
                    index=index,
                    name=f"node {layer}.{index}",
                    spread=float(known),
                    effects=effects,
                    r2=r2,
                    additive=r2 - 0.03 * (index % 2),
                    formula=f"0.3 + 2 * {names[picked[0]]}^2" if known and index % 2 else "",
                    formula_r2=r2 - 0.01 if known and index % 2 else np.nan,
                )
            )
    return Passports(rows=1168, held_out=584, nodes=tuple(nodes))


def _effect(name, column, lags, rng):
    weights = rng.dirichlet(np.ones(lags)) if rng.random() < 0.5 else np.eye(lags)[rng.integers(lags)]
    grid = np.linspace(*sorted(rng.normal(0, 10.0 ** rng.integers(-2, 5), 2)), 33)
    z = np.linspace(-1, 1, 33)
    kind = rng.integers(3)
    curve = rng.lognormal(-1, 1) * [z, -np.tanh(3 * z), z**2 - 0.3][kind]
    return Effect(
        name=name,
        column=column,
        lag=int(weights.argmax()),
        weights=weights,
        share=float(rng.uniform(0, 0.6)),
        direction=(0.95, -0.9, 0.1)[kind],
        grid=grid,
        curve=curve,
        counts=rng.multinomial(584, rng.dirichlet(np.full(32, 0.3))) / 584,
    )


def _shadows(ablation, alive):
    """Every measured rise against a floor of 1e-3, no random numbers: the other parts stay as they were drawn."""
    change = np.asarray(ablation.change)
    tested = np.asarray(ablation.reads)
    p = np.where(tested, np.exp(-np.maximum(change, 0.0) / 2e-3) * 0.8 + 1e-12, 1.0)
    edges = [np.linspace(1e-6, 0.9, a.size).reshape(a.shape) for a in alive]
    return Shadows(
        names=ablation.names,
        loss="mse",
        rows=1000,
        edge_rows=500,
        copies=30,
        block=100,
        base=0.0824,
        benefit=np.where(tested, change, 0.0),
        floor=np.where(tested, 1e-3, 0.0),
        as_good=np.where(tested, np.round(30 * p), 30),
        p_value=p,
        tested=tested,
        edge_benefit=tuple(np.where(a, 0.01 * (1 - e), 0.0) for a, e in zip(alive, edges, strict=True)),
        edge_p_value=tuple(np.where(a, e, 1.0) for a, e in zip(alive, edges, strict=True)),
        edge_tested=tuple(alive),
        edge_floor=2e-4,
        remark="",
    )


def _ranges(layer, reference):
    here = ranges_of(layer)
    if not reference:
        return here
    moved = np.clip(here.trained + 0.02, 0, 1)
    return replace(here, reference=replace(here, trained=moved, fringe=1 - moved, dead=0 * moved))


def _straight(layer, rng):
    r2 = rng.beta(2, 0.6, layer.edges.alive.shape) * layer.edges.alive
    cause = tuple(
        tuple("masked" if not a else "linear" if r > 0.99 else "" for a, r in zip(row, rs, strict=True))
        for row, rs in zip(layer.edges.alive, r2, strict=True)
    )
    std = layer.edges.strength
    return LayerStraightness(
        linear_r2=r2,
        domain_r2=r2,
        slope=std,
        bend=std * np.sqrt(1 - r2),
        base_share=0.2 * layer.edges.alive,
        spline_share=0.8 * layer.edges.alive,
        cause=cause,
        straight=r2 > 0.99,
    )


def _verdicts(ablation):
    result = []
    for i, name in enumerate(ablation.names):
        if not ablation.reads[i]:
            kind, cause, text = "drop", "zero-weight", "The model cannot read this column: its weights are exactly 0."
        elif ablation.low[i] > 0:
            kind, cause = "keep", "needed"
            text = f"Shuffling it raises the loss by {ablation.change[i]:.3g} (p = {ablation.p_value[i]:.2g})."
        elif i % 5 == 0:
            kind, cause = "tentative", "weak"
            text = f"Weak: the loss rises by {ablation.change[i]:.3g}, and the interval reaches below 0."
        else:
            kind, cause = "drop", "noise"
            text = f"No different from noise: loss change {ablation.change[i]:.2g}, p = {ablation.p_value[i]:.2g}."
        twins = ((ablation.names[(i + 8) % len(ablation.names)], 0.97),) if i % 4 == 0 else ()
        result.append(Verdict(index=i, name=name, survives=kind, cause=cause, text=text, substitutes=twins))
    return tuple(result)


def written_of(
    analysis: Analysis, *, name: str = "a", holds: bool = True, stayed: int = 2, dropped: int = 1
) -> Written:
    """The model of an analysis as a made-up formula: its first ``stayed`` edges have no function."""
    edges = tuple(
        WrittenEdge(
            layer=layer,
            dst=dst,
            src=src,
            family=None if place < stayed and layer == 0 else "x^2",
            r2=0.5 + 0.01 * place if place < stayed and layer == 0 else 0.9996,
            why="no function comes near it" if place < stayed and layer == 0 else "",
        )
        for layer, table in enumerate(analysis.trace.layers)
        for place, (dst, src) in enumerate(np.argwhere(table.edges.alive).tolist())
    )
    rise = Estimate(value=0.0007, low=-0.0003, high=0.0018) if holds else Estimate(value=0.02, low=0.01, high=0.03)
    model = 0.0824
    outputs = tuple(
        WrittenOutput(name=each, text=f"0.5*{name}**2 + {k}*phi_0_0_0({name})", latex=r"0.5 x^{2}", reads=(0, 1))
        for k, each in enumerate(analysis.trace.output_names)
    )
    return Written(
        live=len(edges),
        outputs=outputs,
        edges=edges,
        dropped=tuple(f"{k + 1}e-5*sin({name})" for k in range(dropped)),
        losses=WrittenLosses(
            name="mse",
            rows=350,
            undefined=0,
            model=model,
            functions=0.0825,
            formula=model + rise.value,
            constant=0.41,
            rise=rise,
            allowed=0.02 * model,
        ),
        tolerance=0.02,
    )


def trust_readings_of(skill=0.62):
    """Readings with every verdict: two fail, two are weak, one is not measured."""
    rows = "1,752 rows"
    return (
        TrustReading(check="skill", value=skill, low=skill - 0.05, high=skill + 0.05, chance=0.0, effort=rows),
        TrustReading(check="deletion", value=0.71, low=0.5, high=0.9, chance=0.0, effort=rows),
        TrustReading(check="insertion", value=0.2, low=-0.1, high=0.5, chance=0.0, effort=rows),
        TrustReading(check="randomised", value=0.88, low=0.85, high=0.91, chance=0.95, effort=rows),
        TrustReading(check="completeness", value=0.004, effort=rows),
        TrustReading(check="infidelity", value=0.31, low=0.2, high=0.5, chance=1.0, effort=rows),
        TrustReading(check="sensitivity", value=math.nan, remark="no input moves the <output>"),
        TrustReading(check="bootstrap", value=0.31, low=0.1, high=0.6, chance=0.0, effort=rows),
    )


def _plan(alive, scores, layers, names, ablation):
    keep, reasons = [], []
    for i, (a, s) in enumerate(zip(alive, scores, strict=True)):
        score = s.kan2.max(0)
        kept = a & (score >= PLAN_THRESHOLD)
        keep.append(kept)
        reasons += [
            Reason(
                kind="edge",
                place=(i, int(d), int(c)),
                score=float(score[d, c]),
                threshold=PLAN_THRESHOLD,
                text=f"kan2 {score[d, c]:.3g}, threshold {PLAN_THRESHOLD}",
            )
            for d, c in np.argwhere(a & ~kept)
        ]
    verdicts = _verdicts(ablation) if ablation else ()
    inputs = np.array([v.survives != "drop" for v in verdicts], bool) if verdicts else np.ones(len(names or ()), bool)
    return PrunePlan(
        mask=EdgeMask(layers=tuple(keep)),
        constants=tuple(layer.edges.mean for layer in layers),
        input_names=names or (),
        inputs=inputs,
        fill=np.zeros(len(names or ())),
        reasons=tuple(reasons),
        fingerprint="a" * 64,
    )


def _findings(names):
    first = names[0] if names else "unit 0"
    return (
        Finding(
            code="out-of-grid",
            severity="problem",
            claim=f"The unit fed by {first} leaves the grid in 46 % of the rows.",
            evidence="unit 0: trained 54 %, fringe 13 %, dead 33 % of 1752 rows.",
            advice="Call head.update() on this data, or widen the domain before training on.",
            section="ranges",
        ),
        Finding(
            code="twins",
            severity="caution",
            claim="Two inputs that survive carry much the same signal (correlation 0.97).",
            evidence="EWR_temp and LGA_temp: r = 0.97 over 1752 rows.",
            advice="Drop one of them, refit, and compare the loss.",
            section="inputs",
        ),
        Finding(
            code="unused-grid",
            severity="note",
            claim="3 units use less than half of their grid.",
            evidence="Coverage 40 % for units 3, 7 and 12.",
            advice="Fewer grid intervals would do.",
            section="ranges",
        ),
    )
