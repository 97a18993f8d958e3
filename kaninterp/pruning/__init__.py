"""Decisions carried out: a plan becomes a new, smaller model, with what it cost."""

from kaninterp.pruning.apply import prune
from kaninterp.pruning.choose import as_frame, choose, survival
from kaninterp.pruning.comparison import measure_held_out
from kaninterp.pruning.cost import measure_cost
from kaninterp.pruning.efficiency import Efficiency, compare, measure_efficiencies, measure_efficiency
from kaninterp.pruning.finetune import fine_tune
from kaninterp.pruning.latency import LatencyCost
from kaninterp.pruning.outcome import PruneReport
from kaninterp.pruning.refit import Refit, refit
from kaninterp.pruning.seeds import SeedSurvival, survival_over_seeds
from kaninterp.pruning.steps import PruneRun, PruneStep
from kaninterp.pruning.summary import summarize
from kaninterp.pruning.swapping import swaps
from kaninterp.pruning.transfer import transfer, transplant

__all__ = [
    "Efficiency",
    "LatencyCost",
    "PruneReport",
    "PruneRun",
    "PruneStep",
    "Refit",
    "SeedSurvival",
    "as_frame",
    "choose",
    "compare",
    "fine_tune",
    "measure_cost",
    "measure_efficiencies",
    "measure_efficiency",
    "measure_held_out",
    "prune",
    "refit",
    "summarize",
    "survival",
    "survival_over_seeds",
    "swaps",
    "transfer",
    "transplant",
]
