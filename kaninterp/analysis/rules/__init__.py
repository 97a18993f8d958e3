"""Prune rules: frozen callables from measurements to a `PrunePlan`. Importance and an amount decide.

| rule | removes |
|---|---|
| `NodeRule` | hidden nodes whose largest incoming or outgoing score is small: the KAN paper's |
| `EdgeRule` | edges below a threshold: pykan's, but held against the largest score over outputs |
| `BudgetRule` | the weakest edges, as long as no output moves by more than a share of its spread: the default |
| `ScoreRule` | edges, nodes or inputs by any measure, by threshold, count, fraction or budget, in any scope |

All rest on the same `Trace`, or on a `Probe` where they need the loss; `kaninterp.analysis.manual` removes by hand.
"""

from .amounts import Amount, Budget, Count, Fraction, Threshold
from .budget_rule import BUDGET, BudgetRule
from .edge_rule import EdgeRule
from .node_rule import NodeRule
from .protocol import PruneRule
from .score_rule import ScoreRule
from .selection import SCOPES
from .table import DEFAULT_RULE, RULES, probe_kinds, rule_named

__all__ = [
    "BUDGET",
    "DEFAULT_RULE",
    "RULES",
    "SCOPES",
    "Amount",
    "Budget",
    "BudgetRule",
    "Count",
    "EdgeRule",
    "Fraction",
    "NodeRule",
    "PruneRule",
    "ScoreRule",
    "Threshold",
    "probe_kinds",
    "rule_named",
]
