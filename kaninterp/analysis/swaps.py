"""What swap tests say about the verdicts: redundant given a survivor, or not distinguishable from noise after all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kaninterp.core.errors import ShapeError
from kaninterp.core.findings import Verdict
from kaninterp.core.substitutes import Swap

from .bundle import Analysis
from .findings import find
from .wording import counted, number, percent, range_words, shown, signed

__all__ = ["swap_words", "with_swaps"]

EXACT_CAUSES = frozenset({"zero-weight", "masked"})
"""Causes that stay: that nothing reads the column is exact, whoever replaced it."""

ALL = 1.05
"""Share of the loss won back above which the refit did more than undo the removal: rounding stays below a twentieth."""


def with_swaps(analysis: Analysis, swaps: Sequence[Swap]) -> Analysis:
    """The analysis with swap tests in its verdicts, and with its findings made again.

    A dropped column that came back is *redundant given* the survivor; of one that did not, the text says so. No verdict
    changes between keep, tentative and drop.

    Parameters
    ----------
    analysis : Analysis
    swaps : sequence of Swap
        Measured with `kaninterp.pruning.swaps` on the same columns.

    Raises
    ------
    ShapeError
        Swaps of other columns.
    """
    known = {verdict.index: verdict.name for verdict in analysis.verdicts}
    for swap in swaps:
        for index, name in ((swap.dropped_index, swap.dropped), (swap.survivor_index, swap.survivor)):
            if known.get(index) != name:
                raise ShapeError(
                    f"swaps: measured on a column {index} named {name!r}, the analysis has {known.get(index)!r} there; "
                    "use the same data"
                )
    by_index = {swap.dropped_index: swap for swap in swaps}
    verdicts = tuple(_judged(v, by_index[v.index]) if v.index in by_index else v for v in analysis.verdicts)
    changed = replace(analysis, verdicts=verdicts, swaps=tuple(swaps))
    return replace(changed, findings=find(changed))


def swap_words(swap: Swap) -> str:
    """What the test of a pair showed, in a sentence; "" for a pair that was not tested.

    Examples
    --------
    >>> from kaninterp.core import Estimate
    >>> some, most, few = (Estimate(value=v, low=v - 0.03, high=v + 0.03) for v in (0.3, 0.93, 0.05))
    >>> swap = Swap(dropped="b", survivor="a", dropped_index=1, survivor_index=0, correlation=0.99, smooth_r2=0.98,
    ...             test="refit", loss="mse", lost=some, recovered=most, others=few, rise=some, rows=600, held_out=400,
    ...             epochs=9)
    >>> print(swap_words(swap))  # doctest: +NORMALIZE_WHITESPACE
    With a removed and the model refitted it wins back 93 % of the loss (95 % interval 90 % to 96 %);
    the other columns alone win back 5 %.
    """
    if swap.test == "none":
        return ""
    survivor = shown(swap.survivor)
    if swap.test == "nothing-lost":
        return (
            f"Holding {survivor} at its mean raises the loss by no more than chance "
            f"({signed(swap.lost.value)}, {range_words(swap.lost.low, swap.lost.high)}), so a swap shows nothing here."
        )
    how = "the model refitted" if swap.test == "refit" else "a line of it in that place"
    start = f"With {survivor} removed and {how} it"
    if swap.rise.low > 0 and swap.recovered.value > 0:
        return f"{start} wins back {_won(swap)}{_alone(swap)}."
    return (
        f"{start} does not come back: shuffling it then changes the loss by {number(swap.rise.value)} "
        f"({range_words(swap.rise.low, swap.rise.high)})."
    )


def _won(swap: Swap) -> str:
    """How much of the loss came back; what is more than all of it is not written as 2,000 %: the refit mended more."""
    if swap.recovered.low > ALL:
        return "all of the loss, and more: training on improves this model anyway"
    return (
        f"{percent(swap.recovered.value)} of the loss (95 % interval {percent(swap.recovered.low)} to "
        f"{percent(swap.recovered.high)})"
    )


def _alone(swap: Swap) -> str:
    """What the same refit wins back without the dropped column, which says whether it takes that column to do so."""
    if swap.test != "refit":
        return ""
    others = max(0.0, swap.others.value)
    if others > ALL:
        return "; so do the other columns without it"
    if others >= swap.recovered.low:
        return f"; the other columns alone win back {percent(others)}, so it is one of several that can"
    return f"; the other columns alone win back {percent(others)}"


def _rests_on(swap: Swap) -> str:
    if swap.test == "refit":
        return (
            f"The refit: {counted(swap.epochs, 'pass', 'passes')} over {swap.rows:,} rows, judged on {swap.held_out:,} "
            "later ones."
        )
    if swap.test == "nothing-lost":
        return f"Judged on {swap.held_out:,} rows. Shuffling it is another test, on other rows."
    return f"No refit was possible; judged on {swap.held_out:,} rows."


def _judged(verdict: Verdict, swap: Swap) -> Verdict:
    told = swap_words(swap)
    if not told:
        return verdict
    told = f"{told} {_rests_on(swap)}"
    if not swap.back:
        return replace(verdict, text=f"{verdict.text} {told}")
    told = f"Redundant given {shown(swap.survivor)}: {told[:1].lower()}{told[1:]}"
    if verdict.cause in EXACT_CAUSES:
        return replace(verdict, text=f"{verdict.text} {told}")
    rest = verdict.text.split("). ", 1)[-1] if verdict.text.startswith("Redundant given ") else verdict.text
    return replace(verdict, cause="redundant", text=f"{told} {rest}")
