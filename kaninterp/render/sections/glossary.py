"""Section 10: what each number is, and what it is not."""

from __future__ import annotations

from kaninterp.render.blocks import Definitions, Section
from kaninterp.render.material import Material

__all__ = ["glossary_section"]

WORDS: tuple[tuple[str, str, str], ...] = (
    (
        "Edge",
        "A learnt function of one variable, from one node to the next. A node is the sum of its edges and a constant.",
        "Not a single weight: its slope differs from place to place.",
    ),
    (
        "Unit",
        "One output of the backbone (for an LSTM, one number of its hidden state), which the KAN reads.",
        "Not one of your columns: each unit mixes columns and lags.",
    ),
    (
        "Keep, tentative, drop",
        (
            "The verdict on a column. Keep: the loss rises when it is shuffled, and the interval stays above "
            "zero. Drop: no different from noise, redundant given other columns, or not read by the model. "
            "Tentative: this data cannot decide."
        ),
        "Not a statement about the world: another model, or more data, may use a column that this one does not.",
    ),
    (
        "Rise of the loss",
        (
            "Loss with the column shuffled minus loss of the intact model, on the same rows. Rows stay in blocks,"
            " so that slow changes over time survive the shuffling."
        ),
        "Not the loss of a model trained without the column. Columns that stand in for each other both look cheap.",
    ),
    (
        "95 % interval",
        "From a bootstrap that redraws blocks of rows.",
        "It does not cover a change of the model, of the training seed, or of the period the data come from.",
    ),
    (
        "Weight norm",
        "Size of an edge's function over its whole grid.",
        "It ignores where the data are. A large norm in a place no row visits does nothing.",
    ),
    (
        "Function amplitude (strength)",
        "Standard deviation of the edge's output on this data.",
        "A strong edge into a node that leads nowhere does not move the output.",
    ),
    (
        "Share of the output",
        "Cov(edge, node) / Var(node), multiplied along the paths to the output. The shares into one node add up to 1.",
        "Negative when the edge works against the others. Large shares of both signs mean cancelling, not effect.",
    ),
    (
        "KAN 2.0 score",
        (
            "Amplitude of the edge over that of its node, passed back from the output (arXiv 2408.10205). About "
            "the square root of a share when the edges of a node are independent."
        ),
        "It cannot see that two edges cancel.",
    ),
    (
        "Loss when removed",
        "Change of the loss when the edge alone is replaced by its mean.",
        "Two edges that stand in for each other both look removable; removing both may not be.",
    ),
    (
        "Noise band",
        "What columns reach that were found to be no different from noise. A score inside it is not evidence of use.",
        "Not a significance test for a single edge.",
    ),
    (
        "Trained zone, fringe, dead zone",
        "The grid the splines were fitted on; the cells beside it in which they fade; everything beyond.",
        "A value in the dead zone is not an error in the data; the model has learnt nothing there.",
    ),
    (
        "Coverage",
        "Share of the knot intervals that at least one row visited.",
        "One row is enough to count: see the histogram under each thumbnail for how many.",
    ),
    (
        "Linear R²",
        "Squared correlation of an edge's output with its input on this data. Above 0.99 a line would do.",
        "Straight on this data does not mean straight everywhere.",
    ),
    (
        "Integrated Gradients",
        (
            "Contribution of a column at a lag to the prediction, relative to a baseline. The contributions add "
            "up to the difference between prediction and baseline."
        ),
        "It depends on the baseline; that is why two are shown. It is no causal effect.",
    ),
    (
        "Spearman",
        "Correlation of two rankings: 1 is the same order, 0 is no relation.",
        "It says nothing about sizes.",
    ),
)


def glossary_section(material: Material) -> Section:  # noqa: ARG001  (every section has this signature)
    """Words of the report."""
    return Section(
        id="glossary",
        title="Glossary",
        lead=f"{len(WORDS)} words of this report: what each is, and what it is not.",
        blocks=(Definitions(items=WORDS),),
    )
