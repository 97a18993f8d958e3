"""What shadows say of inputs and edges, in words: indistinguishable from a copy that knows nothing, or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kaninterp.core.findings import Finding
from kaninterp.core.frozen import Array, BoolArray
from kaninterp.core.shadows import Shadows

from .bundle import Analysis
from .wording import counted, listed, number, q_words, shown

__all__ = ["NOISE_Q", "REAL_Q", "EdgeFloor", "edge_noise", "kept_without_proof", "shadow_words"]

REAL_Q = 0.05
"""False discovery rate below which an input counts as more than its shadows: one in twenty of those named is chance."""

NOISE_Q = 0.1
"""False discovery rate above which an edge is called no different from noise: twice as lenient as for inputs, because
an edge is one of many that share a task."""


def shadow_words(shadows: Shadows | None, i: int) -> str:
    """What the shadows of a column say, as a sentence after others; "" where it was not tested."""
    if shadows is None or not shadows.tested[i]:
        return ""
    q = float(shadows.q_value[i])
    found = f"{q_words(q)} over {counted(shadows.family, 'input')}"
    if q > REAL_Q:
        return (
            f" Not distinguishable from its own shadows: {found}; {shadows.as_good[i]} of {shadows.copies} give a loss "
            "as low."
        )
    return f" Against its own shadows it does better ({found}), by {number(float(shadows.benefit[i]))}."


def edge_noise(shadows: Shadows, layer: int) -> BoolArray:
    """Edges of a layer that were tested and are not told from their shadows, (dst, src)."""
    return np.asarray(shadows.edge_tested[layer] & (shadows.edge_q_value[layer] > NOISE_Q))


@dataclass(frozen=True, slots=True, eq=False)
class EdgeFloor:
    """Edges against the benefit their shadows reach; q-values are worked out once for all nodes."""

    shadows: Shadows | None
    q_value: tuple[Array, ...]

    @classmethod
    def of(cls, shadows: Shadows | None) -> EdgeFloor:
        """Of the shadows of an analysis, if it has some."""
        return cls(shadows, () if shadows is None else shadows.edge_q_value)

    def words(self, layer: int, place: Any, kinds: Sequence[str]) -> str:
        """What "no different from noise" was measured by, for the edges of a layer at ``place``, whose codes are given.

        "" where no such edge was tested.
        """
        if self.shadows is None:
            return ""
        noise = np.array([kind == "noise" for kind in kinds]) & self.shadows.edge_tested[layer][place]
        if not noise.any():
            return ""
        least = float(self.q_value[layer][place][noise].min())
        best = float(self.shadows.edge_benefit[layer][place][noise].max())
        return (
            f"; against their shadows the smallest {q_words(least)} over {counted(self.shadows.edge_family, 'edge')} "
            f"(noise above {NOISE_Q}), removing one raises the loss by {number(best)} at most where one shadow in "
            f"twenty reaches {number(self.shadows.edge_floor)}"
        )


def kept_without_proof(analysis: Analysis) -> tuple[Finding, ...]:
    """Columns to keep, by the price of shuffling them, that their own shadows do not confirm."""
    shadows = analysis.shadows
    if shadows is None:
        return ()
    q = shadows.q_value
    doubtful = [v.index for v in analysis.verdicts if v.survives == "keep" and shadows.tested[v.index]]
    doubtful = sorted((i for i in doubtful if q[i] > REAL_Q), key=lambda i: (-q[i], i))
    if not doubtful:
        return ()
    worst = doubtful[0]
    return (
        Finding(
            code="kept-without-proof",
            severity="caution",
            claim=f"{counted(doubtful, 'column')} to keep {'is' if len(doubtful) == 1 else 'are'} not told from "
            f"{'its' if len(doubtful) == 1 else 'their'} own shadows: {listed([shadows.names[i] for i in doubtful])}.",
            evidence=f"{shown(shadows.names[worst])}: {q_words(float(q[worst]))} over "
            f"{counted(shadows.family, 'input')}; {shadows.as_good[worst]} of {shadows.copies} copies of it, moved in "
            f"time, give a loss as low ({counted(shadows.rows, 'row')}, {shadows.loss}).",
            advice="Slow columns can fit by chance what shuffling takes for a benefit; look again on a longer period.",
            section="inputs",
        ),
    )
