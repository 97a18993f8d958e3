"""Section 10: what was looked at, exactly, and how to make the report again."""

from __future__ import annotations

from kaninterp.render.blocks import Block, Listing, Section, Verbatim
from kaninterp.render.material import Material
from kaninterp.render.wording import count, join, plural, shown

__all__ = ["model_section"]

FINGERPRINT = 16
"""Hexadecimal digits of a SHA-256 that are printed: enough to tell two models or data sets apart."""


def model_section(material: Material) -> Section:
    """Shapes, parameters, masks, data, versions, fingerprints, and the call."""
    blocks: list[Block] = [
        Listing(caption="Model", rows=_model(material)),
        Listing(caption="Data", rows=_data(material)),
    ]
    made_with = _pairs(material.versions) + _pairs(material.options)
    if made_with:
        blocks.append(Listing(caption="Versions and options", rows=made_with))
    if material.call:
        blocks.append(Verbatim(caption="Make this report again", text=shown_code(material.call)))
    rows = material.analysis.trace.rows
    return Section(
        id="model",
        title="Model and data",
        lead=f"Measured in evaluation mode on {count(rows)} rows. The model was not changed.",
        blocks=tuple(blocks),
    )


def _pairs(pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((shown(key), shown(value)) for key, value in pairs)


def shown_code(text: str) -> str:
    r"""Code keeps its line breaks; everything else is made visible.

    Examples
    --------
    >>> shown_code("a = 1\nb = 2")
    'a = 1\nb = 2'
    """
    return "\n".join(shown(line) if line.strip() else "" for line in text.split("\n"))


def _model(material: Material) -> tuple[tuple[str, str], ...]:
    card, plan = material.analysis.trace.card, material.analysis.plan
    alive = [int(layer.edges.alive.sum()) for layer in material.analysis.trace.layers]
    total = [layer.edges.alive.size for layer in material.analysis.trace.layers]
    pairs = [f"{a:,} of {t:,}" for a, t in zip(alive, total, strict=True)]
    return (
        ("Model", shown(card.model)),
        ("KAN", f"{shown(card.head)} at {shown(card.path) if card.path else 'the model itself'}"),
        ("Nodes per layer", " → ".join(map(count, card.widths))),
        ("Parameters", f"{count(card.parameters)}, of them {count(card.head_parameters)} in the KAN"),
        ("Live edges per layer", join(pairs, most=9)),
        ("Edges the plan keeps", f"{count(plan.mask.count)} of {count(plan.mask.size)}"),
        *((key[:1].upper() + key[1:], value) for key, value in _pairs(card.options)),
        ("Fingerprint of the KAN", card.fingerprint[:FINGERPRINT]),
    )


def _data(material: Material) -> tuple[tuple[str, str], ...]:
    analysis = material.analysis
    trace = analysis.trace
    rows: list[tuple[str, str]] = [("Data", shown(trace.data)), ("Rows traced", count(trace.rows))]
    if trace.raw is not None:
        rows += [("Columns", count(len(trace.raw.names))), ("Time steps per row", count(trace.raw.lags))]
    rows.append(("Outputs", join([shown(n) for n in trace.output_names], most=12)))
    if analysis.ablation is not None:
        a = analysis.ablation
        text = f"{count(a.rows)} rows, {a.repeats} shuffle{plural(a.repeats)}, blocks of {a.block}, loss: {a.loss}"
        rows.append(("Shuffling of columns", text))
    if analysis.attribution is not None:
        against = join([shown(b) for b in analysis.attribution.baselines])
        rows.append((analysis.attribution.method, f"{count(analysis.attribution.rows)} rows, against {against}"))
    if analysis.edge_ablation is not None:
        rows.append(("Removal of edges", f"{count(analysis.edge_ablation.rows)} rows, {analysis.edge_ablation.loss}"))
    if material.cost is not None:
        rows.append(("Price of the plan", f"{count(material.cost.rows)} rows, loss: {material.cost.loss}"))
    several = len(trace.data_fingerprints) > 1
    rows += [
        (f"Fingerprint of the data{f' {i + 1}' if several else ''}", f[:FINGERPRINT])
        for i, f in enumerate(trace.data_fingerprints)
    ]
    return tuple(rows)
