"""`EdgeRule`: a threshold on every edge."""

from __future__ import annotations

from dataclasses import dataclass

from kaninterp.analysis.plans import plan_of
from kaninterp.analysis.wording import number
from kaninterp.core.plan import PrunePlan
from kaninterp.core.probe import Probe
from kaninterp.core.trace import Trace

from .live import edge_reasons, live_scores
from .protocol import Scores, check_threshold

__all__ = ["EdgeRule"]


@dataclass(frozen=True, slots=True)
class EdgeRule:
    """Keep an edge if its score exceeds the threshold for at least one output.

    pykan's default edge threshold is 3e-2 on the mean of the KAN 2.0 score over outputs; here it is held against the
    largest, so a head with a hundred outputs keeps what one of them needs.
    """

    threshold: float = 3e-2
    score: str = "kan2"

    def __post_init__(self) -> None:
        check_threshold(self.threshold, self.score)

    def __call__(self, trace: Trace, scores: Scores | None = None, *, probe: Probe | None = None) -> PrunePlan:
        """Plan for the traced head; a probe is not looked at."""
        del probe
        values = live_scores(trace, scores, self.score)
        wanted = [v > self.threshold for v in values]
        held = f"threshold {number(self.threshold)}"
        reasons = edge_reasons(trace, values, wanted, score=self.score, threshold=self.threshold, held=held)
        return plan_of(trace, wanted, reasons)
