"""Which step of a run to take: the fewest edges within one standard error of the best held-out loss."""

from __future__ import annotations

from kaninterp.core import Estimate
from kaninterp.core.errors import InputError
from kaninterp.core.evidence import Z95
from kaninterp.pruning.steps import PruneRun

__all__ = ["choose_step"]


def choose_step(run: PruneRun) -> int:
    """Number of the step that the one-standard-error rule takes (Breiman et al. 1984); 0 is the start.

    Of all steps whose held-out loss is at most that of the best step plus the latter's standard error, the one with the
    fewest edges, then parameters, then raw columns, then the lowest loss. ``run.undo(len(run.steps) - number)`` goes
    there.

    Parameters
    ----------
    run : PruneRun
        From a schedule, whose steps carry held-out losses with intervals.

    Raises
    ------
    InputError
        A step without a held-out loss and its interval.

    Examples
    --------
    >>> import kaninterp as ki
    >>> from kaninterp.pruning import PruneStep
    >>> loss = lambda value: {"held_out": Estimate(value=value, low=value - 0.2, high=value + 0.2)}
    >>> run = PruneRun.begin(ki.KANHead(3, 1), losses=loss(1.0))
    >>> run = run.then(PruneStep(number=1, label="two inputs", model=ki.KANHead(2, 1), losses=loss(1.05)))
    >>> run = run.then(PruneStep(number=2, label="one input", model=ki.KANHead(1, 1), losses=loss(1.5)))
    >>> choose_step(run)
    1
    """
    lines = run.lines
    losses: list[Estimate] = []
    for line in lines:
        loss = line.held_out
        if loss is None or not loss.low <= loss.value <= loss.high:  # NaN too
            raise InputError(f"step {line.step} ({line.label}) has no held-out loss with an interval; measure it first")
        losses.append(loss)
    best = min(losses, key=lambda loss: loss.value)
    allowed = best.value + (best.high - best.low) / (2 * Z95)
    within = [line for line, loss in zip(lines, losses, strict=True) if loss.value <= allowed]
    return min(within, key=lambda line: (line.edges, line.parameters, line.inputs or 0, losses[line.step].value)).step
