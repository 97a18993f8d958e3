"""`ScoreRule`: rank by any score, remove any amount, of edges, nodes or inputs, in any scope."""

from __future__ import annotations

from dataclasses import dataclass

from kaninterp.analysis.importance import LEVELS, measured
from kaninterp.analysis.plans import plan_of
from kaninterp.analysis.scores import score_named
from kaninterp.analysis.wording import number
from kaninterp.core.errors import InputError, InputTypeError
from kaninterp.core.plan import PrunePlan
from kaninterp.core.probe import Probe
from kaninterp.core.trace import Trace

from .amounts import Amount, Budget, Count, Fraction, Threshold
from .candidates import Candidates, candidates
from .protocol import Scores
from .selection import SCOPES, chosen, held_against

__all__ = ["HALF", "ScoreRule"]

HALF = Fraction(0.5)
"""Means the same for every score, whatever its unit."""


@dataclass(frozen=True, slots=True)
class ScoreRule:
    """Remove the least important edges, nodes or inputs by a named score.

    Attributes
    ----------
    score : str
        One of `kaninterp.analysis.SCORES`; "random" is the control.
    level : {"edge", "node", "input"} or None
        What goes. Node: hidden nodes and, under a backbone, its units; input: raw columns that the KAN reads itself.
        None: edges, or nodes where the score knows only these.
    amount : Threshold, Count, Fraction or Budget
        How much goes.
    scope : {"global", "layer", "output"}
        Ranked all together, in each layer by itself, or for each output by itself: then what one output needs stays,
        however many there are, and what no output needs goes.
    seed : int
        Of the score "random".

    Raises
    ------
    InputError, InputTypeError
        Options that do not exist or do not go together.

    Notes
    -----
    Monotone: a larger threshold or share, a smaller count or budget removes a superset. Closure may take further
    edges along, so a count is a most.

    Examples
    --------
    >>> str(ScoreRule("path", amount=Count(20)))
    'edges by path: the best 20 stay'
    >>> str(ScoreRule("shapley", amount=Fraction(0.25), scope="layer"))
    'nodes by shapley: the lowest 25 % go, in each layer'
    """

    score: str = "kan2"
    level: str | None = None
    amount: Amount = HALF
    scope: str = "global"
    seed: int = 0

    def __post_init__(self) -> None:
        score = score_named(self.score, "head")
        if self.level is None:
            object.__setattr__(self, "level", score.level)
        if self.level not in LEVELS:
            raise InputError(f"ScoreRule: level must be one of {', '.join(LEVELS)}, got {self.level!r}")
        if (self.level, score.level) == ("edge", "node"):
            raise InputError(f"ScoreRule: {self.score} knows nodes, not single edges; use level='node' or 'input'")
        if not isinstance(self.amount, (Threshold, Count, Fraction, Budget)):
            raise InputTypeError(
                "ScoreRule: amount must be a Threshold, Count, Fraction or Budget, such as Threshold(0.03); "
                f"got {self.amount!r}"
            )
        if self.scope not in SCOPES:
            raise InputError(f"ScoreRule: scope must be one of {', '.join(SCOPES)}, got {self.scope!r}")
        if self.scope == "output" and not score.per_output:
            raise InputError(
                f"ScoreRule: scope='output' needs a score per output (kan2, path, gradient), got {self.score!r}"
            )

    @property
    def probe_kinds(self) -> tuple[str, ...]:
        """What has to be probed before: `kaninterp.core.PROBE_KINDS`, empty for rules on a trace alone."""
        needed = "shapley" if self.score == "loss_share" else self.score
        return (needed,) if score_named(self.score, "head").needs == "probe" else ()

    def __call__(self, trace: Trace, scores: Scores | None = None, *, probe: Probe | None = None) -> PrunePlan:
        """Plan for the traced head.

        Raises
        ------
        InputError
            The score needs a probe that was not given, or the level is not there.
        PlanError
            Nothing would be left, a budget cannot be met (says the smallest reachable), or the probe is of another
            head.
        """
        level = "edge" if self.level == "edge" else "node"
        importance = measured(self.score, trace, probe, scores, level=level, seed=self.seed)
        items = candidates(self.level or level, importance, trace)
        kept = chosen(items, self.amount, self.scope, trace)
        bars = held_against(items, self.amount, self.scope, kept)
        reasons = items.reasons(trace, kept, bars, self._texts(items, importance.unit))
        return plan_of(trace, items.wanted(trace, kept), reasons, advice="remove less")

    def __str__(self) -> str:
        within = {"global": "", "layer": ", in each layer", "output": ", for each output"}[self.scope]
        return f"{self.level}s by {self.score}: {self.amount.words}{within}"

    def _texts(self, items: Candidates, unit: str) -> list[str]:
        several = items.outputs is not None and len(items.outputs) > 1
        held = f"{', the largest over outputs' if several else ''}; {str(self).split(': ', 1)[1]}"
        measure = "a random draw of" if self.score == "random" else self.score
        unit = "" if unit == "none" else f" {unit}"
        return [f"{measure} {number(value)}{unit}{held}" for value in items.values.tolist()]
