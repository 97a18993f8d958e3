"""Decisions carried out: a plan becomes a new, smaller model, with what it cost."""

from kaninterp.pruning.apply import prune
from kaninterp.pruning.cost import measure_cost
from kaninterp.pruning.outcome import PruneReport

__all__ = ["PruneReport", "measure_cost", "prune"]
