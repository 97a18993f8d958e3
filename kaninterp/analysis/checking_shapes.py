"""Findings about distributions that changed since a card was made."""

from __future__ import annotations

import numpy as np

from kaninterp.core.findings import Finding, Severity
from kaninterp.core.range_card import RangeCard
from kaninterp.core.trace import Trace
from kaninterp.core.watch import Watched

from .drift import SHIFT, ShapeDrift
from .wording import counted, listed, number, percent, shown, signed

__all__ = ["layer_shapes", "shape_findings"]

LISTED = 12
"""Columns or nodes whose numbers are written out."""

WORDS = {"moved": "moved as a whole", "changed": "changed their shape", "cut": "were cut to part of their range"}
ONE = {"moved": "moved as a whole", "changed": "changed its shape", "cut": "was cut to part of its range"}

ADVICE = {
    "moved": "Look at the units, the season and the source; if the change stays, train on data that have it.",
    "changed": "Look at the source; if the change stays, train on data that have it.",
    "cut": "Look for a filter or a sensor at its limit: no range is left, but some of what the model knows is gone.",
}


def shape_findings(found: ShapeDrift | None, watched: Watched, *, told: frozenset[str]) -> tuple[Finding, ...]:
    """Raw columns that the model reads whose distribution changed, by kind; what chance may explain is a note.

    ``told`` are the columns that are named already.
    """
    if found is None or watched.columns is None:
        return ()
    read = watched.columns.read
    findings: list[Finding] = []
    for kind in ADVICE:
        which = [i for i in _ordered(found) if found.kind[i] == kind and read[i] and found.names[i] not in told]
        sure = [i for i in which if found.sure[i]]
        open_ones = [i for i in which if not found.sure[i]]
        findings += [_columns(found, kind, some, sure=some is sure) for some in (sure, open_ones) if some]
    far = [i for i in _ordered(found) if not found.kind[i] and abs(found.shift[i]) >= SHIFT]
    unproven = [i for i in far if read[i] and found.names[i] not in told]
    return (*findings, *([_unproven(found, unproven)] if unproven else []))


def layer_shapes(
    drifts: tuple[ShapeDrift, ...], trace: Trace, card: RangeCard, *, quiet: bool, told: frozenset[str]
) -> tuple[Finding, ...]:
    """Layers with input nodes whose distribution changed; ``quiet``: nothing before them did.

    ``told`` are the nodes that are named already. Where a column changed, that nodes do is what one expects: a note.
    """
    findings: list[Finding] = []
    for depth, (found, layer) in enumerate(zip(drifts, trace.layers, strict=True)):
        if depth == 0 and card.card.path == "" and card.columns:
            continue  # the nodes are the columns
        live = np.asarray(layer.edges.alive.any(0))
        changed = [i for i in _ordered(found) if found.kind[i] and live[i] and found.names[i] not in told]
        sure = [i for i in changed if found.sure[i]]
        if sure:
            findings.append(_nodes(found, depth, sure, hidden=quiet and not findings))
    return tuple(findings)


def _ordered(found: ShapeDrift) -> list[int]:
    return [int(i) for i in np.argsort(-found.wasserstein, kind="stable")]


def _columns(found: ShapeDrift, kind: str, which: list[int], *, sure: bool) -> Finding:
    names = listed(found.names[i] for i in which)
    did = (ONE if len(which) == 1 else WORDS)[kind]
    doubt = "" if sure else ", though among so many columns that may be chance"
    severity: Severity = "caution" if sure else "note"
    return Finding(
        code="columns-shape",
        severity=severity,
        claim=f"{counted(which, 'column')} of {len(found.names)} {did}{doubt}: {names}.",
        evidence=f"{_numbers(found, which)}. {_worth(found, which[0])}.",
        advice=ADVICE[kind],
        section="shape",
    )


def _unproven(found: ShapeDrift, which: list[int]) -> Finding:
    names = listed(found.names[i] for i in which)
    return Finding(
        code="columns-shape",
        severity="note",
        claim=f"{counted(which, 'column')} of {len(found.names)} moved, as so few independent rows may by chance: "
        f"{names}.",
        evidence=f"{_numbers(found, which)}. {_worth(found, which[0])}.",
        advice="No proof of a change: compare the loss on these rows with the loss before, or look at a longer period.",
        section="shape",
    )


def _nodes(found: ShapeDrift, depth: int, which: list[int], *, hidden: bool) -> Finding:
    names = listed(found.names[i] for i in which)
    nodes = f"{counted(which, 'input node')} of {len(found.names)} of KAN layer {depth + 1}"
    claim = f"{nodes} changed {'its' if len(which) == 1 else 'their'} distribution: {names}."
    return Finding(
        code="layer-shape",
        severity="caution" if hidden else "note",
        claim=claim + (" No column and no earlier layer shows it." if hidden else ""),
        evidence=f"{_numbers(found, which)}. {_worth(found, which[0])}.",
        advice="Columns may go together in another way than before: compare their correlations, and the loss.",
        section=f"layer-{depth + 1}",
    )


def _numbers(found: ShapeDrift, which: list[int]) -> str:
    more = len(which) - LISTED
    return "; ".join(_told(found, i) for i in which[:LISTED]) + (f"; and {more} more" if more > 0 else "")


def _told(found: ShapeDrift, i: int) -> str:
    ks = f"Kolmogorov-Smirnov {number(float(found.ks[i]))}"
    if found.became[i]:
        parts = [found.became[i], ks]
    else:
        far = f"Wasserstein {number(float(found.wasserstein[i]))} sd"
        parts = [f"mean {signed(float(found.shift[i]))} sd", ks, far]
    parts.append(f"PSI {number(float(found.psi[i]))} (chance up to {number(float(found.limit[i]))})")
    if found.kind[i] == "cut":
        parts.insert(0, f"{percent(float(found.cut[i]))} of the rows before lie beyond the present range")
    return f"{shown(found.names[i])}: {', '.join(parts)}"


def _worth(found: ShapeDrift, i: int) -> str:
    rows = f"{number(float(found.before[i]))} independent rows before and {number(float(found.now[i]))} now"
    return (
        f"{shown(found.names[i])} is worth {rows}, at which chance alone makes a change this large in "
        f"{_chance(found.chance[i])}"
    )


def _chance(chance: float) -> str:
    return f"{percent(float(chance))} of cases" if chance > 0 else "no case"
