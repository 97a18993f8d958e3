"""What a prune rule is: a frozen callable from measurements to a plan."""

from __future__ import annotations

from typing import Protocol

from kaninterp.analysis.bundle import LayerScores
from kaninterp.analysis.scores import held_score
from kaninterp.core.errors import InputError
from kaninterp.core.plan import PrunePlan
from kaninterp.core.probe import Probe
from kaninterp.core.trace import Trace

__all__ = ["PruneRule", "Scores", "check_threshold"]

Scores = tuple[LayerScores, ...]


class PruneRule(Protocol):
    """Measurements -> plan."""

    def __call__(self, trace: Trace, scores: Scores | None = None, *, probe: Probe | None = None) -> PrunePlan:
        """Decide.

        Parameters
        ----------
        trace : Trace
            Of the head.
        scores : tuple of LayerScores, optional
            Of the trace, where they are at hand already.
        probe : Probe, optional
            Of the same head; only rules that rank by the loss look at it (see `probe_kinds`).
        """
        ...


def check_threshold(threshold: float, score: str) -> None:
    """Refuse a threshold that means nothing, or a score that there is not."""
    held_score(score)
    if not threshold >= 0:  # NaN too
        raise InputError(f"a threshold must be a number >= 0, got {threshold}")
