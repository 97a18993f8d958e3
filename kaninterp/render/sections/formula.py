"""The KAN as a formula, its loss beside the model's, and what could not be written down."""

from __future__ import annotations

import re

from kaninterp.core.written import Written, WrittenEdge, WrittenLosses
from kaninterp.render.blocks import Block, Paragraph, Section
from kaninterp.render.cells import Cell, Name, Table
from kaninterp.render.formula_nouns import FormulaLine, FormulaLines
from kaninterp.render.material import Material
from kaninterp.render.passport_cards import MOST_CARDS
from kaninterp.render.passport_table import LONGEST_NAME, listed
from kaninterp.render.wording import count, interval, number, percent, plural, shorten, shown, sign

__all__ = ["formula_section"]

MOST_OUTPUTS = 12
"""Outputs whose formulas are printed; more are no reading matter."""
LONGEST = 4000
"""Characters of one formula that are printed, two screens of it."""
LONGEST_LATEX = 2000
"""Characters of LaTeX up to which it is given to copy: longer lines fit no page."""
MOST_SPLINES = 12
"""Edges that stayed splines with their reasons, the worst first."""
MOST_DROPPED = 24
"""Terms left out that are listed."""
MOST_EDGES = 200
"""Rows of the table of edges, about 200 bytes each."""
LONGEST_TERM = 120
"""Characters of a term that was left out."""
LOGITS = ("cross_entropy", "CrossEntropyLoss", "bce", "BCEWithLogitsLoss")
"""Losses of a classifier."""
HOW = (
    "** is a power and * a product; names that are no single word, or that of a function, stand in backticks. Each "
    "expression came from the edges' curves: a function in place of each; then what the data do not support was left "
    "out or made simpler, what is left fitted once more, and its numbers rounded as far as the loss allows. It holds "
    "within the range of these data, and says nothing about causes."
)


def formula_section(material: Material) -> Section | None:
    """Verdict, expressions, losses, edges that stayed splines; None where no formula was asked for."""
    written = material.analysis.formula
    if written is None:
        return None
    if written.losses is None:
        return _section(f"No formula: {_sentence(written.remark)}", ())
    blocks: tuple[Block | None, ...] = (
        _verdict(written, written.losses),
        _lines(written, written.losses),
        _losses(written.losses),
        _units(material, written),
        _splines(material, written),
        _dropped(written),
        _edges(material, written),
    )
    return _section(_lead(written), tuple(block for block in blocks if block is not None))


def _section(lead: str, blocks: tuple[Block, ...]) -> Section:
    return Section(id="formula", title="Formula", lead=lead, blocks=blocks)


def _sentence(text: str) -> str:
    words = shown(text)
    return words if words.endswith(".") else f"{words}."


def _lead(written: Written) -> str:
    stayed, gone = len(written.splines), len(written.dropped)
    done = len(written.edges) - stayed
    text = f"The KAN written down: {count(done)} of its {count(written.live)} live edges as functions"
    text += f", {count(stayed)} stayed {'a spline' if stayed == 1 else 'splines'}" if stayed else ""
    text += f"; {count(gone)} term{plural(gone)} that the data do not support left out" if gone else ""
    return f"{text}."


def _verdict(written: Written, losses: WrittenLosses) -> Paragraph:
    rows = f"{count(losses.rows)} held-out row{plural(losses.rows)}, used for nothing else,"
    if losses.rise is None:
        text = (
            f"Do not use this formula as it is: on {count(losses.undefined)} of {rows} it is not defined, since they "
            "leave the domain of one of its functions."
        )
        return Paragraph(text=text, tone="problem")
    beside = f"on {rows} its {_measured(losses)} is {number(losses.formula)} beside the model's {number(losses.model)}"
    rise = interval(losses.rise, signed=True)
    if losses.holds:
        text = (
            f"The formula may stand for the model: {beside}, a difference of {rise}; up to {number(losses.allowed)} is "
            "allowed."
        )
        return Paragraph(text=text)
    if losses.worse_than_constant:
        text = (
            f"Do not use this formula: {beside}, worse than a constant, the mean of the model's outputs, with "
            f"{number(losses.constant)}. It says nothing of the model."
        )
        return Paragraph(text=text, tone="problem")
    sure = "" if losses.told_apart else " The interval includes 0: these rows do not tell the two apart."
    text = (
        f"The formula is worse than the model: {beside}, a rise of {rise}, where {number(losses.allowed)} is allowed "
        f"({percent(written.tolerance)} of the model's).{sure} Take it for an outline of the model."
    )
    return Paragraph(text=text, tone="warning")


def _measured(losses: WrittenLosses) -> str:
    """The loss, and its units where they are not those of the formula."""
    return f"{losses.name} in standardised units" if losses.standardised else losses.name


def _lines(written: Written, losses: WrittenLosses) -> FormulaLines:
    left = len(written.outputs) - MOST_OUTPUTS
    note = HOW
    if losses.name in LOGITS:
        note = f"What is written are logits, before the loss makes probabilities of them. {note}"
    if any(re.search(r"\bphi_\d+_\d+_\d+\(", output.text) for output in written.outputs):
        note += " phi_1_0_2(...) is an edge that stayed a spline: layer 1, from node 2 to node 0."
    if left > 0:
        note += f" {count(left)} more outputs are not shown; kaninterp.symbolic.formula(model, data) has all."
    items = tuple(_line(shown(each.name), each.text, each.latex) for each in written.outputs[:MOST_OUTPUTS])
    return FormulaLines(caption="In the units that the KAN reads and gives", items=items, note=note)


def _line(name: str, text: str, latex: str) -> FormulaLine:
    whole = f"{name} = {shown(text)}"
    remark = ""
    if len(whole) > LONGEST:
        remark = (
            f"The first {count(LONGEST)} of {count(len(whole))} characters; "
            "kaninterp.symbolic.formula(model, data).formula has all."
        )
        whole = f"{whole[:LONGEST]}…"
    return FormulaLine(name=name, text=whole, latex=shown(latex) if len(latex) <= LONGEST_LATEX else "", remark=remark)


def _losses(losses: WrittenLosses) -> Table:
    rise = losses.rise
    return Table(
        id="formula-losses",
        caption=(
            f"The formula beside the model, on the same {count(losses.rows)} held-out rows; losses are in "
            f"{'standardised units' if losses.standardised else 'the units that the KAN gives'}"
        ),
        columns=("What", f"#{_measured(losses)}", "#95 % interval"),
        rows=(
            ("The model", number(losses.model), ""),
            ("Its edges as functions, all terms and digits", number(losses.functions), ""),
            ("The formula", number(losses.formula), ""),
            (
                "Formula minus model",
                "n/a" if rise is None else sign(rise.value),
                "n/a" if rise is None else f"{sign(rise.low)} to {sign(rise.high)}",
            ),
            ("Allowed difference", number(losses.allowed), ""),
            ("A constant, the mean of the model's outputs", number(losses.constant), ""),
        ),
        folded=True,
    )


def _units(material: Material, written: Written) -> Table | None:
    """What the units of a backbone in the formula are, in columns; None where the formula is in columns itself."""
    read = sorted({unit for output in written.outputs for unit in output.reads})
    if material.plain or not read:
        return None
    cards = {(p.layer, p.index) for p in [p for p in listed(material) if p.effects][:MOST_CARDS]}
    return Table(
        id="formula-units",
        caption="What the units in the formula are, in at most three of your columns",
        columns=("Unit", "#Described", "In your columns"),
        rows=tuple(_unit(material, unit, linked=(0, unit) in cards) for unit in read),
        note="Described: share of its variance on held-out rows that these columns explain; its passport has the lags.",
    )


def _unit(material: Material, unit: int, *, linked: bool) -> tuple[Cell, ...]:
    analysis = material.analysis
    href = f"passport-0-{unit}" if linked else f"node-0-{unit}"
    name = Name(text=shown(analysis.trace.node_name(0, unit)), href=href)
    passport = None if analysis.passports is None else analysis.passports.of(0, unit)
    if passport is None or not passport.effects:
        return (name, "n/a", "not described")
    columns = "; ".join(f"{shorten(shown(effect.name), LONGEST_NAME)} {effect.way}" for effect in passport.effects)
    described = columns if passport.described else f"Not by three inputs. The best: {columns}"
    return (name, percent(max(passport.r2, 0.0)), described)


def _splines(material: Material, written: Written) -> Table | None:
    stayed = written.splines
    if not stayed:
        return None
    left = len(stayed) - MOST_SPLINES
    return Table(
        id="formula-splines",
        caption=f"Edges that stayed splines, and why: {count(len(stayed))} of {count(len(written.edges))}",
        columns=("Written as", "From", "To", "#Best R²", "Why it has no function"),
        rows=tuple(
            (edge.spline, *_ends(material, edge), _r2(edge.r2), shown(edge.why)) for edge in stayed[:MOST_SPLINES]
        ),
        note=f"{count(left)} more, that functions come nearer to, are in the table of edges." if left > 0 else "",
    )


def _dropped(written: Written) -> Table | None:
    if not written.dropped:
        return None
    left = len(written.dropped) - MOST_DROPPED
    return Table(
        id="formula-dropped",
        caption="Terms left out, each replaced by its mean",
        columns=("Term",),
        rows=tuple((shorten(shown(term), LONGEST_TERM),) for term in written.dropped[:MOST_DROPPED]),
        folded=True,
        note=f"{count(left)} more are not listed." if left > 0 else "",
    )


def _edges(material: Material, written: Written) -> Table:
    left = len(written.edges) - MOST_EDGES
    return Table(
        id="formula-edges",
        caption="The function of each edge, before terms were left out",
        columns=("From", "To", "Function", "#R²"),
        rows=tuple(
            (*_ends(material, edge), shown(edge.family or "spline"), _r2(edge.r2))
            for edge in written.edges[:MOST_EDGES]
        ),
        folded=True,
        note="R²: of the function on the edge's curve, weighed by where rows are; of a spline, of its best function."
        + (f" {count(left)} more edges are not listed." if left > 0 else ""),
    )


def _ends(material: Material, edge: WrittenEdge) -> tuple[Name, Name]:
    trace = material.analysis.trace
    ends = ((edge.layer, edge.src), (edge.layer + 1, edge.dst))
    source, target = (
        Name(
            text=shown(trace.node_name(layer, index)),
            href="" if layer == len(trace.layers) else f"node-{layer}-{index}",
        )
        for layer, index in ends
    )
    return source, target


def _r2(value: float) -> str:
    """Never rounded up to 1."""
    return "> 0.999" if 0.999 < value < 1 else number(value, 3)
