"""Findings about columns in company: those that act together, copies of each other, and sums that give the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kaninterp.core.findings import Finding
from kaninterp.core.interactions import Pair
from kaninterp.core.leaks import EXACT, Leak
from kaninterp.core.tables import RawTable

from .bundle import Analysis
from .wording import counted, listed, number, percent, shown

__all__ = ["COLUMN_CHECKS", "copy_groups"]

COPY = 0.9999
"""|r| from which two columns are copies: what one does not say of the other is a hundredth of its spread."""

MOST_PAIRS = 3
"""Pairs and groups named in a finding."""


def act_together(analysis: Analysis) -> tuple[Finding, ...]:
    """Pairs of columns whose joint effect is no sum of two effects."""
    found = analysis.interactions
    if found is None or not found.together:
        return ()
    pairs = found.together
    first = f"{_pair(pairs[0])} act together"
    whose = "the output" if len(found.outputs) == 1 else shown(found.outputs[pairs[0].output])
    several = len({pair.columns for pair in pairs})
    more = f"; {counted(several, 'pair')} do so in all" if several > 1 else ""
    texts = [f"{_pair(p)}: {_size(analysis, p)}" for p in pairs[:MOST_PAIRS]]
    tied = _same_values(analysis, pairs[:MOST_PAIRS])
    return (
        Finding(
            code="act-together",
            severity="note",
            claim=f"{first}: {percent(pairs[0].share)} of the variance of {whose}{more}.",
            evidence="; ".join(texts) + f". This much no sum of two curves can do ({found.rows:,} rows).{tied}",
            advice="Do not read the curve of such a column alone: its effect depends on the other.",
            section="inputs",
        ),
    )


def _same_values(analysis: Analysis, pairs: Sequence[Pair]) -> str:
    """A caveat for pairs that are copies: to part them makes rows that no data would show; "" where there are none."""
    raw = analysis.trace.raw
    groups = copy_groups(raw) if raw is not None else ()
    tied = {pair.columns: _pair(pair) for pair in pairs if any(set(pair.columns) <= set(g) for g in groups)}
    if not tied:
        return ""
    return f" But {'; '.join(tied.values())} hold the same values: rows in which they differ do not occur in this data."


def copies(analysis: Analysis) -> tuple[Finding, ...]:
    """Groups of columns that are each other's exact copies, shifted, scaled or reversed perhaps."""
    raw = analysis.trace.raw
    if raw is None:
        return ()
    groups = copy_groups(raw)
    if not groups:
        return ()
    texts = [_copies(raw, group) for group in groups[:MOST_PAIRS]]
    left = len(groups) - len(texts)
    return (
        Finding(
            code="copies",
            severity="note" if not _both_read(analysis, groups) else "caution",
            claim=f"{counted(groups, 'group')} of columns hold the same values: {'; '.join(texts)}"
            + (f"; and {left} more." if left else "."),
            evidence=f"|r| above {COPY} over {raw.nodes.count:,} values of each, so one is a line of the other.",
            advice="Give the model one of each group: which of them it learnt to read is chance.",
            section="inputs",
        ),
    )


def copy_groups(raw: RawTable) -> tuple[tuple[int, ...], ...]:
    """Raw columns that are lines of each other, by `COPY`.

    Examples
    --------
    >>> from kaninterp.core import NodeTable
    >>> x = np.random.default_rng(0).normal(size=(50, 2))
    >>> x = np.column_stack([x, 3 - 2 * x[:, 0]])
    >>> d = x - x.mean(0)
    >>> copy_groups(RawTable(names=("a", "b", "c"), nodes=NodeTable.of(x), co=d.T @ d, lags=1))
    ((0, 2),)
    """
    alike = np.abs(raw.correlation) > COPY
    left, groups = set(range(len(alike))), []
    while left:
        group, front = set[int](), {min(left)}
        while front:
            group |= front
            front = set(np.flatnonzero(alike[sorted(front)].any(0)).tolist()) - group
        left -= group
        if len(group) > 1:
            groups.append(tuple(sorted(group)))
    return tuple(groups)


def _copies(raw: RawTable, group: tuple[int, ...]) -> str:
    first = group[0]
    names = [raw.names[i] + (" (reversed)" if raw.correlation[first, i] < 0 else "") for i in group]
    return listed(names)


def _both_read(analysis: Analysis, groups: tuple[tuple[int, ...], ...]) -> bool:
    """Whether the model reads more than one of a group, so that their effect is divided between them."""
    if analysis.ablation is None:
        return False
    reads = analysis.ablation.reads
    return any(reads[list(group)].sum() > 1 for group in groups)


def leak(analysis: Analysis) -> tuple[Finding, ...]:
    """Targets that are a sum of few columns."""
    found = []
    for one in analysis.leaks:
        outputs = analysis.trace.output_names
        which = f"the target {shown(outputs[one.output])}" if 1 < len(outputs) > one.output else "the target"
        several = len(one.terms) > 1
        weights = "; ".join(f"{shown(term.called)} {number(term.weight)}" for term in one.terms)
        names = listed(term.called for term in one.terms)
        found.append(
            Finding(
                code="leak",
                severity="problem",
                claim=f"{_sum(one)} gives {which}{' exactly' if one.exact else ''}.",
                evidence=f"Least squares on {one.rows:,} rows explains {_nearly(one.r2)} of the variance on the "
                f"{one.held_out:,} rows after them. Weights: {weights}; constant {number(one.intercept)}.",
                advice=f"If {names} {'are' if several else 'is'} not known when the prediction is made, take "
                f"{'them' if several else 'it'} out and train again; if known, no model is needed.",
                section="inputs",
            )
        )
    return tuple(found)


def _sum(one: Leak) -> str:
    short = replace(one, terms=tuple(replace(term, name=shown(term.name)) for term in one.terms))
    return str(short)


def _nearly(r2: float) -> str:
    return "all" if 1 - r2 <= EXACT else f"{100 * r2:.3f} %"


def _pair(pair: Pair) -> str:
    return f"{shown(pair.names[0])} and {shown(pair.names[1])}"


def _size(analysis: Analysis, pair: Pair) -> str:
    found = analysis.interactions
    assert found is not None  # noqa: S101 - the caller has looked
    on = f" of {shown(found.outputs[pair.output])}" if len(found.outputs) > 1 else ""
    return f"{percent(pair.share)}{on} (95 % interval {percent(pair.low)} to {percent(pair.high)})"


COLUMN_CHECKS = (leak, copies, act_together)
