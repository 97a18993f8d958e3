"""Conclusions: pure functions of a trace and of measured evidence. No torch, no model, no row of data."""

from kaninterp.core.discoveries import benjamini_hochberg, benjamini_yekutieli

from .answers import QUESTIONS, Answer, answers
from .attribution import NORMS, aggregate, remainders
from .bundle import Analysis, LayerRanges, LayerScores, LayerStraightness
from .conclusions import analyze
from .drivers import Driver, column_effects, lag_profile, lag_words, node_drivers
from .edge_points import EdgePoints, edge_points
from .findings import CHECKS, SECTIONS, find
from .findings_edges import rank_agreement
from .findings_inputs import column_shares
from .flows import Flow, Path, flow, flows
from .graph import to_graph, to_mask
from .graph_files import from_json, read_graphml, to_json, write_graphml
from .importance import LEVELS, Importance, measured
from .inputs import with_verdicts
from .manual import drop_inputs, keep_nodes, remove_edges, remove_nodes
from .missing import CODES, DRAWING_LIMIT, Missing, edge_codes, missing_nodes
from .places import node_key, raw_columns
from .plans import keep_all, plan_of
from .ranges import layer_ranges
from .rollups import roll_up
from .rules import (
    BUDGET,
    DEFAULT_RULE,
    RULES,
    SCOPES,
    Amount,
    Budget,
    BudgetRule,
    Count,
    EdgeRule,
    Fraction,
    NodeRule,
    PruneRule,
    ScoreRule,
    Threshold,
    probe_kinds,
    rule_named,
)
from .score_table import score_table
from .scores import SCORES, Score, edge_scores, layer_scores, score_named
from .sizes import compact_widths, multiply_adds, parameters
from .straightness import STRAIGHT_R2, layer_straightness
from .survival import Need, holm, measure_need
from .symbolic import GOOD_R2, EdgeFit, fit_edges, suggest, suggest_all
from .trust import TRUST_CHECKS, Trust, TrustCheck, judge
from .understated import Understated, understated
from .verdicts import input_verdicts

__all__ = [
    "BUDGET",
    "CHECKS",
    "CODES",
    "DEFAULT_RULE",
    "DRAWING_LIMIT",
    "GOOD_R2",
    "LEVELS",
    "NORMS",
    "QUESTIONS",
    "RULES",
    "SCOPES",
    "SCORES",
    "SECTIONS",
    "STRAIGHT_R2",
    "TRUST_CHECKS",
    "Amount",
    "Analysis",
    "Answer",
    "Budget",
    "BudgetRule",
    "Count",
    "Driver",
    "EdgeFit",
    "EdgePoints",
    "EdgeRule",
    "Flow",
    "Fraction",
    "Importance",
    "LayerRanges",
    "LayerScores",
    "LayerStraightness",
    "Missing",
    "Need",
    "NodeRule",
    "Path",
    "PruneRule",
    "Score",
    "ScoreRule",
    "Threshold",
    "Trust",
    "TrustCheck",
    "Understated",
    "aggregate",
    "analyze",
    "answers",
    "benjamini_hochberg",
    "benjamini_yekutieli",
    "column_effects",
    "column_shares",
    "compact_widths",
    "drop_inputs",
    "edge_codes",
    "edge_points",
    "edge_scores",
    "find",
    "fit_edges",
    "flow",
    "flows",
    "from_json",
    "holm",
    "input_verdicts",
    "judge",
    "keep_all",
    "keep_nodes",
    "lag_profile",
    "lag_words",
    "layer_ranges",
    "layer_scores",
    "layer_straightness",
    "measure_need",
    "measured",
    "missing_nodes",
    "multiply_adds",
    "node_drivers",
    "node_key",
    "parameters",
    "plan_of",
    "probe_kinds",
    "rank_agreement",
    "raw_columns",
    "read_graphml",
    "remainders",
    "remove_edges",
    "remove_nodes",
    "roll_up",
    "rule_named",
    "score_named",
    "score_table",
    "suggest",
    "suggest_all",
    "to_graph",
    "to_json",
    "to_mask",
    "understated",
    "with_verdicts",
    "write_graphml",
]
