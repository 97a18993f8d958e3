"""Findings about columns in company: those that act together."""

from __future__ import annotations

from kaninterp.core.findings import Finding
from kaninterp.core.interactions import Pair

from .bundle import Analysis
from .wording import counted, percent, shown

__all__ = ["COLUMN_CHECKS"]

MOST_PAIRS = 3
"""Pairs named in a finding; the table has more."""


def act_together(analysis: Analysis) -> tuple[Finding, ...]:
    """Pairs of columns whose joint effect is no sum of two effects."""
    found = analysis.interactions
    if found is None or not found.together:
        return ()
    pairs = found.together
    first = f"{_pair(pairs[0])} act together"
    several = len({pair.columns for pair in pairs})
    more = f"; {counted(several, 'pair')} do so in all" if several > 1 else ""
    texts = [f"{_pair(p)}: {_size(analysis, p)}" for p in pairs[:MOST_PAIRS]]
    return (
        Finding(
            code="act-together",
            severity="note",
            claim=f"{first}: {percent(pairs[0].share)} of the output's variance{more}.",
            evidence="; ".join(texts) + f". This much no sum of two curves can do ({found.rows:,} rows).",
            advice="Do not read the curve of such a column alone: its effect depends on the other.",
            section="inputs",
        ),
    )


def _pair(pair: Pair) -> str:
    return f"{shown(pair.names[0])} and {shown(pair.names[1])}"


def _size(analysis: Analysis, pair: Pair) -> str:
    found = analysis.interactions
    assert found is not None  # noqa: S101 - the caller has looked
    on = f" of {shown(found.outputs[pair.output])}" if len(found.outputs) > 1 else ""
    return f"{percent(pair.share)}{on} (95 % interval {percent(pair.low)} to {percent(pair.high)})"


COLUMN_CHECKS = (act_together,)
