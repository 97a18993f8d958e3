"""Schedules: when to cut and when to train.

Each makes a `PruneRun` on a copy of the model, can be killed and resumed, and judges on rows it does not learn from.
"""

from __future__ import annotations

from kaninterp.pruning.schedules.adaptive import adaptive
from kaninterp.pruning.schedules.best import choose_step
from kaninterp.pruning.schedules.dynamic import dynamic
from kaninterp.pruning.schedules.iterative import iterative
from kaninterp.pruning.schedules.nested import nested
from kaninterp.pruning.schedules.one_shot import one_shot
from kaninterp.pruning.schedules.options import Options
from kaninterp.pruning.schedules.path import path

__all__ = ["Options", "adaptive", "choose_step", "dynamic", "iterative", "nested", "one_shot", "path"]
