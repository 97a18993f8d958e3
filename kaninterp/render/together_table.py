"""Pairs of columns that act together, strongest first."""

from __future__ import annotations

from kaninterp.core.interactions import TOGETHER, Interactions, Pair
from kaninterp.render.cells import Cell, Name, Table
from kaninterp.render.material import Material
from kaninterp.render.wording import count, percent, plural, shorten, shown

__all__ = ["together_table"]

MOST_ROWS = 20
"""Pairs listed."""

LEAST = 0.001
"""Share of a pair that is listed: what is less than one part in a thousand is nothing to act on."""

LONGEST_NAME = 40
"""Columns are cut to this: two of them share a cell's room."""

NOTE = (
    "Share of the output's variance that two columns make together and no sum of two curves can: both are taken from "
    "another row, one at a time and at once, with all their lags ({rows} rows). Exactly 0 where their effects add up, "
    "however correlated they are. Shares of pairs with a column in common overlap. Where columns are "
    "correlated, this makes rows that the data would not show. Together: yes if the whole interval lies above {limit}, "
    "no if it lies below, open if it does neither."
)


def together_table(material: Material) -> tuple[Table, ...]:
    """One table of the strongest pairs; none where pairs were not compared."""
    found = material.analysis.interactions
    if found is None or len(found.names) < 2:
        return ()
    pairs = [pair for pair in found.pairs if pair.share >= LEAST] or list(found.pairs[:1])  # never an empty table
    return (
        Table(
            id="together",
            caption=_caption(found),
            columns=("Inputs", *(("Output",) if len(found.outputs) > 1 else ()), "#Share", "95 % interval", "Together"),
            rows=tuple(_row(found, pair) for pair in pairs[:MOST_ROWS]),
            note=_note(found, len(pairs)),
        ),
    )


def _caption(found: Interactions) -> str:
    sure = {pair.columns for pair in found.together}
    if sure:
        return f"Inputs that act together: {count(len(sure))} pair{plural(len(sure))}"
    return f"Inputs that act together: none, of the {count(len(found.names))} columns compared"


def _row(found: Interactions, pair: Pair) -> tuple[Cell, ...]:
    names = " × ".join(shorten(shown(name), LONGEST_NAME) for name in pair.names)
    output: tuple[Cell, ...] = (shown(found.outputs[pair.output]),) if len(found.outputs) > 1 else ()
    return (
        Name(text=names, href=f"input-{pair.columns[0]}"),
        *output,
        percent(pair.share),
        f"{percent(pair.low)} to {percent(pair.high)}",
        "yes" if pair.sure else "open" if pair.high > TOGETHER else "no",
    )


def _note(found: Interactions, listed: int) -> str:
    text = NOTE.format(rows=count(found.rows), limit=percent(TOGETHER))
    if found.left_out > 0:
        text += (
            f" Compared were the {count(len(found.names))} columns that move an output most; each of the others moves "
            f"{percent(found.left_out)} of its variance or less."
        )
    less = len(found.pairs) - listed
    if less:
        text += f" Not listed: {count(less)} pair{plural(less)} with a share below {percent(LEAST)}."
    left = listed - MOST_ROWS
    return text + (f" {count(left)} weaker pair{plural(left)} left out." if left > 0 else "")
