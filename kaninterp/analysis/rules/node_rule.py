"""`NodeRule`: the rule of the KAN paper."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from kaninterp.analysis.plans import cut_node, plan_of, reason
from kaninterp.analysis.wording import number
from kaninterp.core.plan import PrunePlan
from kaninterp.core.probe import Probe
from kaninterp.core.trace import Trace

from .live import live_scores
from .protocol import Scores, check_threshold

__all__ = ["NodeRule"]


@dataclass(frozen=True, slots=True)
class NodeRule:
    """Keep a hidden node if its largest incoming and its largest outgoing score both exceed the threshold.

    The rule of the KAN paper (Liu et al., arXiv 2404.19756, section 2.5.1), with its 1e-2. The paper scores edges by
    their mean absolute value; `strength`, its nearest relative here, does not count the constant part. Edges between
    kept nodes all stay.

    Attributes
    ----------
    threshold : float
        In the unit of the score.
    score : str
        One of `kaninterp.analysis.SCORES`; per output scores count at their largest.
    """

    threshold: float = 1e-2
    score: str = "strength"

    def __post_init__(self) -> None:
        check_threshold(self.threshold, self.score)

    def __call__(self, trace: Trace, scores: Scores | None = None, *, probe: Probe | None = None) -> PrunePlan:
        """Plan for the traced head; a probe is not looked at."""
        del probe
        values = live_scores(trace, scores, self.score)
        wanted = [np.ones(v.shape, bool) for v in values]
        reasons = []
        for layer, (below, above) in enumerate(pairwise(values), start=1):
            least = np.minimum(below.max(1), above.max(0))
            for index in np.flatnonzero(~(least > self.threshold)):
                cut_node(wanted, layer, int(index))
                text = (
                    f"largest {self.score} of the edges into it {number(below[index].max())}, out of it "
                    f"{number(above[:, index].max())}; both must exceed {number(self.threshold)}"
                )
                reasons.append(reason("node", (layer, int(index)), text, score=least[index], threshold=self.threshold))
        return plan_of(trace, wanted, reasons)
