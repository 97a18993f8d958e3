"""Section 11: what each number is, and what it is not."""

from __future__ import annotations

from kaninterp.render.blocks import Definitions, Section
from kaninterp.render.material import Material

__all__ = ["glossary_section"]

WORDS: tuple[tuple[str, str, str], ...] = (
    (
        "Edge",
        "A learnt function of one variable, from one node to the next. A node is the sum of its edges and a constant.",
        "A single weight: its slope differs from place to place.",
    ),
    (
        "Unit",
        "One output of the backbone (for an LSTM, one number of its hidden state), which the KAN reads.",
        "One of your columns: each unit mixes columns and lags.",
    ),
    (
        "Node 1.3",
        "Output number 3 of KAN layer 1; counting starts at 0. It is the sum of the edges that enter it.",
        "One of your columns, nor one of your outputs.",
    ),
    (
        "Lag",
        "Time steps back from the last one of a row: lag 0 is the latest, in the time step of your data.",
        "A cause. A slow column looks much the same at neighbouring lags, and the model may read either.",
    ),
    (
        "Keep, tentative, drop",
        (
            "The verdict on a column. Keep: the loss rises when it is shuffled, and the interval stays above "
            "zero. Drop: no different from noise, redundant given other columns, or not read by the model. "
            "Tentative: this data cannot decide."
        ),
        "A statement about the world: another model, or more data, may use a column that this one does not.",
    ),
    (
        "Rise of the loss",
        (
            "Loss with the column shuffled minus loss of the intact model, on the same rows. Rows stay in blocks,"
            " so that slow changes over time survive the shuffling. What all inputs together bring is the "
            "rise when all are shuffled at once."
        ),
        "The loss of a model trained without the column. Columns that stand in for each other both look cheap.",
    ),
    (
        "Act together",
        (
            "Share of an output's variance that two columns make together and no sum of a curve of the one and a curve "
            "of the other can (superset importance; Hooker 2004, Liu and Owen 2006)."
        ),
        "A correlation of the two columns: they may be independent and act together, or alike and add up.",
    ),
    (
        "Formula",
        (
            "The KAN with a known function in place of each edge where later rows allow it; then terms left out by the "
            "Bayesian information criterion (Schwarz 1978), and numbers rounded. Its loss is of rows used for nothing "
            "else."
        ),
        "The law behind the data: other functions fit the same range as well, and beyond it they part.",
    ),
    (
        "Swap test",
        (
            "A survivor is held at its mean, a copy of the model is trained on with a dropped column, and later rows "
            "show how much of the lost accuracy is won back. All other dropped columns stay at their means."
        ),
        "The loss of a model trained on the column from the start: the copy begins with the survivor's weights.",
    ),
    (
        "95 % interval",
        "From a bootstrap that redraws blocks of rows.",
        "A cover for a change of the model, of the training seed, or of the period the data come from.",
    ),
    (
        "Weight norm",
        "Size of an edge's function over its whole grid.",
        "A measure of use: it ignores where the data are, and a large norm in a place no row visits does nothing.",
    ),
    (
        "Function amplitude (strength)",
        "Standard deviation of the edge's output on this data.",
        "An effect on the output: a strong edge into a node that leads nowhere has none.",
    ),
    (
        "Share of the output",
        "Cov(edge, node) / Var(node), multiplied along the paths to the output. The shares into one node add up to 1.",
        "Always positive: it is below zero where the edge works against the others. Large shares of both signs cancel.",
    ),
    (
        "KAN 2.0 score",
        (
            "Amplitude of the edge over that of its node, passed back from the output (arXiv 2408.10205). About "
            "the square root of a share when the edges of a node are independent."
        ),
        "A net effect: it cannot see that two edges cancel, nor whether the effect helps.",
    ),
    (
        "Loss when removed",
        "Change of the loss when the edge alone is replaced by its mean.",
        "A sum: two edges that stand in for each other both look removable; removing both may not be.",
    ),
    (
        "Shadow input, shadow edge",
        (
            "The same values in long pieces that come in another order: it varies like the real one and knows nothing "
            "about the target. The noise floor is what shadows reach by chance."
        ),
        "A column that was never there: where inputs are tied to each other, moving one breaks these ties, too.",
    ),
    (
        "q-value",
        (
            "False discovery rate (Benjamini and Hochberg): call all inputs or edges up to this q real, and about that "
            "share of them is chance."
        ),
        "The chance that this one input is noise; nor the size of its benefit.",
    ),
    (
        "Noise band",
        (
            "How far the loss falls by chance with one in twenty shadow edges; without shadows, how far it moves when "
            "a column is shuffled that was judged no different from noise."
        ),
        "A significance test for a single edge.",
    ),
    (
        "Trained zone, fringe, dead zone",
        "The grid of the splines; the cells beside it; everything beyond. Under Ranges: what is computed there.",
        "A judgement on the data: a value in the dead zone may be right, but the model has learnt nothing there.",
    ),
    (
        "Card",
        "What was seen before, without a row of it: ranges and distributions. Of reference data a report makes one.",
        "A limit that data must keep: it says what the model was trained or measured on.",
    ),
    (
        "Coverage",
        "Share of the knot intervals that at least one row visited.",
        "A count of rows: one is enough. The histogram under each thumbnail shows how many.",
    ),
    (
        "Linear R²",
        "Squared correlation of an edge's output with its input on this data. Above 0.99 a line would do.",
        "A statement about places without data: straight here does not mean straight everywhere.",
    ),
    (
        "Integrated Gradients",
        (
            "Contribution of a column at a lag to the prediction, relative to a baseline. The contributions add "
            "up to the difference between prediction and baseline."
        ),
        "A causal effect. It depends on the baseline; that is why two are shown.",
    ),
    (
        "Skill",
        "Share of the loss of the best constant prediction that the model saves; for a squared error, R².",
        "A comparison with a good model: the best constant is the least that any model should beat.",
    ),
    (
        "Deletion, insertion",
        (
            "Parts of the input are shuffled one after the other, or given back, in the order of the attribution. The "
            "area under the loss is held against random orders (0) and the best order known (1)."
        ),
        "A test of a single attribution: shuffled parts make rows that no data would show.",
    ),
    (
        "Shuffled parameters",
        (
            "The parameters of copies of the model are put in random order. By chance: how much the explanations of "
            "the copies agree with each other, because of the columns' spread or because far lags are forgotten."
        ),
        "A test of the model: an untrained one may pass it.",
    ),
    (
        "Infidelity",
        (
            "Mean squared difference between what attributions foretell and what the output does when random parts of "
            "a row go to their mean, over the same without any attributions (arXiv 1901.09392)."
        ),
        "Zero for a good method in general: effects that need two columns at once cannot be split without a remainder.",
    ),
    (
        "Sensitivity",
        "Largest relative change of a row's explanation under small random moves of its values; the middle row.",
        "The sensitivity of the prediction: a steep model may have a steady explanation.",
    ),
    (
        "Stability of a choice",
        "How much more alike the kept columns of several samples are than chance makes them (Nogueira et al. 2018).",
        "A statement that the choice is right: a wrong one may be stable.",
    ),
    (
        "Spearman",
        "Correlation of two rankings: 1 is the same order, 0 is no relation.",
        "A comparison of sizes.",
    ),
)


def glossary_section(material: Material) -> Section:  # noqa: ARG001  (every section has this signature)
    """Words of the report."""
    return Section(
        id="glossary",
        title="Glossary",
        lead=f"{len(WORDS)} terms of this report: what each is, and what it is not.",
        blocks=(Definitions(items=WORDS),),
    )
