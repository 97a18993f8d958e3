"""RULES: every rule with its defaults, by name."""

from __future__ import annotations

from difflib import get_close_matches

from kaninterp.core.errors import InputError

from .budget_rule import BudgetRule
from .edge_rule import EdgeRule
from .node_rule import NodeRule
from .protocol import PruneRule
from .score_rule import ScoreRule

__all__ = ["DEFAULT_RULE", "RULES", "probe_kinds", "rule_named"]

DEFAULT_RULE = BudgetRule()

RULES: tuple[tuple[str, PruneRule], ...] = (
    ("budget", DEFAULT_RULE),
    ("edge", EdgeRule()),
    ("node", NodeRule()),
    ("kan2", ScoreRule("kan2")),
    ("kan2-node", ScoreRule("kan2", "node")),
    ("kan2-input", ScoreRule("kan2", "input")),
    ("share", ScoreRule("share")),
    ("path", ScoreRule("path")),
    ("strength", ScoreRule("strength")),
    ("l1", ScoreRule("l1")),
    ("l2", ScoreRule("l2")),
    ("coefficients", ScoreRule("coefficients")),
    ("taylor", ScoreRule("taylor")),
    ("taylor-node", ScoreRule("taylor", "node")),
    ("fisher", ScoreRule("fisher")),
    ("ablation", ScoreRule("ablation")),
    ("shapley", ScoreRule("shapley")),
    ("random", ScoreRule("random")),
    ("random-node", ScoreRule("random", "node")),
    ("random-input", ScoreRule("random", "input")),
)
"""Every rule with its defaults; the laws run over this list. A `ScoreRule` removes half unless told otherwise:
``dataclasses.replace(rule_named("path"), amount=Count(20))``."""


def rule_named(name: str) -> PruneRule:
    """One of `RULES` by name.

    Raises
    ------
    InputError
        There is no such rule.

    Examples
    --------
    >>> rule_named("edge")
    EdgeRule(threshold=0.03, score='kan2')
    """
    known = dict(RULES)
    if name in known:
        return known[name]
    near = get_close_matches(str(name), known, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise InputError(f"no rule {name!r}; {hint}known are: {', '.join(known)}")


def probe_kinds(rule: PruneRule) -> tuple[str, ...]:
    """What has to be probed for a rule, as ``kinds`` of `kaninterp.measure.probe`; empty if a trace is enough.

    A rule of your own says so by an attribute ``probe_kinds``.

    Examples
    --------
    >>> probe_kinds(ScoreRule("fisher")), probe_kinds(EdgeRule())
    (('fisher',), ())
    """
    return tuple(getattr(rule, "probe_kinds", ()))
