"""How well trained networks are pruned to the inputs of planted problems, and what is left of their R2.

    python -m pytest tests/benchmarks/test_pruning.py -q -s

A KAN on the tables and an LSTM with a KANHead on the sequences, standard size, seeds 0 to 4; no parameter was chosen
on them. Printed per problem: mean F1, false positives and misses, and R2 on the last fifth of the rows, which neither
training nor pruning sees: of the model as given, by `ki.prune(model, data)`, and by `nested` (cut, train, judge).
"""

from __future__ import annotations

import numpy as np
import pytest

import kaninterp as ki
from kaninterp.core.errors import PlanError
from kaninterp.pruning.schedules import nested
from tests.benchmarks.problems import SEQUENCES, TABLES, score
from tests.benchmarks.trained import in_time_order, r2, standardized, trained

SEEDS = range(5)
QUIET = {"progress": False}


pytestmark = pytest.mark.usefixtures("one_thread")


def by_choice(model, data):
    """`ki.prune` without a plan: the survival curve of the model as it is."""
    try:
        new, report = ki.prune(model, data, **QUIET)
    except PlanError:
        return model, ()
    return new, report.kept_inputs


def by_retraining(model, data):
    """`nested`: fewer and fewer columns, retrained."""
    run = nested(model, data, efficiency=False, **QUIET)
    gone = {name for step in run.steps if step.report is not None for name in step.report.dropped_inputs}
    names = [f"x{i}" for i in range(data[0].shape[-1])]
    return run.model, tuple(name for name in names if name not in gone)


@pytest.mark.parametrize("name", [*TABLES, *SEQUENCES])
def test_survivors_and_what_is_left(name):
    """Issue 3: F1 >= .95, no noise survives, R2 within .02 of before: `nested`, on every problem."""
    found = {"prune": [], "nested": []}
    for seed in SEEDS:
        problem = (TABLES | SEQUENCES)[name](seed)
        train, test = in_time_order(problem.X)
        x, y = standardized(problem, slice(None), train)
        model = trained(x, y, train, seed)
        before = r2(model, x[test], y[test])
        for way, pruned in (("prune", by_choice), ("nested", by_retraining)):
            new, kept = pruned(model, (x[train], y[train]))
            points = score(problem, [int(column[1:]) for column in kept])
            found[way].append((*points, before, r2(new, x[test], y[test])))
    for way, runs in found.items():
        f1, false, missed, before, after = np.mean(runs, axis=0)
        worst = min(row[4] - row[3] for row in runs)
        print(
            f"\n{name} {way:7s} F1 {f1:.3f}, false {false:.1f}, missed {missed:.1f}, R2 {before:.3f} -> {after:.3f} "
            f"(worst {worst:+.3f}), clean {sum(row[1] == 0 for row in runs)} of {len(runs)}",
            end="",
            flush=True,
        )
    runs = np.array(found["nested"])
    assert runs[:, 0].mean() >= 0.95
    assert runs[:, 1].mean() <= 0.2
    assert (runs[:, 4] >= runs[:, 3] - 0.02).all()
