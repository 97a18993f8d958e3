"""`SCORES`: every named way to say how much an edge, a node or a column of the user's data matters.

A score of edges or nodes comes from a `Trace` alone, from a `Probe` of the loss, or from a seed (the control). A score
of columns comes from evidence that was measured through the backbone. `measured` gives any of them.

| score | level | unit | right under correlation | sees cancelling |
|---|---|---|---|---|
| strength | edge | units of the node | - | no |
| kan2 | edge | standard deviations of an output | no (an upper bound) | no |
| share | edge | share of the node's variance | yes | yes, negative |
| path | edge | share of an output's variance | yes, within a layer | yes, negative |
| l1, l2, coefficients | edge | units of the node | - (no data) | no |
| gradient | edge | standard deviations of an output | no | no |
| taylor, fisher | edge | units of the loss | to first, second order | yes |
| ablation | edge | units of the loss | yes | yes |
| shapley | node | units of the loss | yes | yes |
| loss_share | node | share of the loss that the layer saves | yes | yes |
| random | edge | none | - | - |
| column_ablation | column | units of the loss | as its fill is | yes |
| column_total | column | share of an output's variance | no | yes |
| column_gradients | column | units of an output | no | no |
| column_shapley | column | units of the loss | yes | yes |

For a classifier the outputs are its logits: kan2, path, gradient and column_total speak of these, whatever is in units
of the loss speaks of the cross entropy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from kaninterp.core.errors import InputError
from kaninterp.core.frozen import Array
from kaninterp.core.trace import Trace

from .attribution import aggregate, function_norm, kan2, path_share, strength, variance_share
from .bundle import LayerScores
from .norms import absolute_norm, coefficient_norm

__all__ = ["SCORES", "Layers", "Score", "edge_scores", "held_score", "layer_scores", "of_trace", "score_named"]

Layers = tuple[Array, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A named way to say how much would be lost.

    Attributes
    ----------
    name : str
        How rules, tables and `measured` call it.
    level : str
        "edge", "node" where it says nothing of single edges, or "column" of the user's data.
    unit : str
        What a value of 1 means.
    needs : str
        "trace"; "probe" (`kaninterp.probe` measures it); "seed"; or the evidence on columns it is read from:
        "ablation", "attribution", "shapley".
    per_output : bool
        Whether each output has values of its own.
    meaning : str
        In one sentence, for tables.
    scale_free : bool
        Whether rescaling an output leaves it as it is.
    signed : bool
        Whether a value below zero says that removing helps, so that it goes before a value of zero.
    additive : bool
        Whether the values of a node's outgoing edges add up to its own.
    data : bool
        False for the size of a function on its domain, whatever the data.
    """

    name: str
    level: str
    unit: str
    needs: str
    meaning: str
    per_output: bool = False
    scale_free: bool = False
    signed: bool = False
    additive: bool = False
    data: bool = True


SCORES: tuple[Score, ...] = (
    Score(
        name="strength", level="edge", unit="units of the node", needs="trace",
        meaning="standard deviation of the edge's output over the data",
    ),
    Score(
        name="kan2", level="edge", unit="standard deviations of an output", needs="trace", per_output=True,
        scale_free=True, additive=True,
        meaning="KAN 2.0 attribution (arXiv 2408.10205): strength carried back from each output",
    ),
    Score(
        name="share", level="edge", unit="share of the node's variance", needs="trace", scale_free=True,
        meaning="covariance of the edge with its node over the node's variance",
    ),
    Score(
        name="path", level="edge", unit="share of an output's variance", needs="trace", per_output=True,
        scale_free=True, additive=True, meaning="product of variance shares along all paths to each output",
    ),
    Score(
        name="l1", level="edge", unit="units of the node", needs="trace", data=False,
        meaning="mean absolute value of the centred function on its domain",
    ),
    Score(
        name="l2", level="edge", unit="units of the node", needs="trace", data=False,
        meaning="root mean square of the centred function on its domain",
    ),
    Score(
        name="coefficients", level="edge", unit="units of the node", needs="trace", data=False,
        meaning="root mean square of the function's B-spline coefficients about their mean",
    ),
    Score(
        name="gradient", level="edge", unit="standard deviations of an output", needs="probe", per_output=True,
        scale_free=True, meaning="mean |gradient of the output x (edge - its mean)| (Shrikumar et al. 2016)",
    ),
    Score(
        name="taylor", level="edge", unit="units of the loss", needs="probe", additive=True,
        meaning="first-order change of the loss (Molchanov et al. 2017)",
    ),
    Score(
        name="fisher", level="edge", unit="units of the loss", needs="probe",
        meaning="second-order change of the loss by the empirical Fisher matrix (Theis et al. 2018)",
    ),
    Score(
        name="ablation", level="edge", unit="units of the loss", needs="probe",
        meaning="exact change of the loss when the edge is replaced by its mean",
    ),
    Score(
        name="shapley", level="node", unit="units of the loss", needs="probe", signed=True,
        meaning="rise of the loss without the node, averaged over orders of removal",
    ),
    Score(
        name="loss_share", level="node", unit="share of the loss that the layer saves", needs="probe", signed=True,
        scale_free=True, meaning="Shapley value of the node over the rise of the loss when its whole layer is removed",
    ),
    Score(
        name="random", level="edge", unit="none", needs="seed",
        meaning="uniform draws that stay with an edge or node through every pruning: the control",
    ),
    Score(
        name="column_ablation", level="column", unit="units of the loss", needs="ablation", signed=True,
        meaning="rise of the loss when the column is taken away, as the evidence says (permuted, mean, conditional)",
    ),
    Score(
        name="column_total", level="column", unit="share of an output's variance", needs="ablation", per_output=True,
        scale_free=True, meaning="total Sobol index of the model's output (Jansen 1999)",
    ),
    Score(
        name="column_gradients", level="column", unit="units of an output", needs="attribution", per_output=True,
        meaning="mean |Integrated Gradients| summed over time lags, the largest over baselines",
    ),
    Score(
        name="column_shapley", level="column", unit="units of the loss", needs="shapley", signed=True,
        meaning="rise of the loss without the column, averaged over orders of removal",
    ),
)  # fmt: skip
"""Every score; one row here, and one line of `_OF_TRACE` or a kind of evidence, make a new one."""

_OF_TRACE: dict[str, Callable[[Trace], Layers]] = {
    "strength": strength,
    "kan2": kan2,
    "share": variance_share,
    "path": path_share,
    "l1": absolute_norm,
    "l2": function_norm,
    "coefficients": coefficient_norm,
}

_FIELDS = {"l2": "norm", "strength": "strength", "share": "share", "kan2": "kan2", "path": "path"}
"""Scores that `LayerScores` holds, and what it calls them."""


def score_named(name: str, level: str | None = None) -> Score:
    """One of `SCORES` by name.

    Parameters
    ----------
    name : str
        Of the score.
    level : {"edge", "node", "column"}, optional
        Only those of this level, or of "head" for all but columns.

    Raises
    ------
    InputError
        There is no such score.

    Examples
    --------
    >>> score_named("kan2").unit
    'standard deviations of an output'
    """
    fitting = [s for s in SCORES if level is None or s.level == level or (level == "head" and s.level != "column")]
    for score in fitting:
        if score.name == name:
            return score
    known = [score.name for score in fitting]
    near = get_close_matches(str(name), known, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise InputError(f"no score {name!r}; {hint}known are: {', '.join(known)}")


def of_trace(name: str, trace: Trace, scores: tuple[LayerScores, ...] | None = None) -> Layers:
    """A score that needs a trace alone, with its signs: (dst, src) or (outputs, dst, src) per layer.

    Parameters
    ----------
    name : str
        A score whose ``needs`` is "trace".
    trace : Trace
        Of the head.
    scores : tuple of LayerScores, optional
        Of the trace, where they are at hand already.

    Raises
    ------
    InputError
        There is no such score, or it needs more than a trace.
    """
    if score_named(name).needs != "trace":
        raise InputError(f"{name} cannot be computed from a trace; {', '.join(_OF_TRACE)} can")
    if scores is not None and name in _FIELDS:
        return tuple(getattr(layer, _FIELDS[name]) for layer in scores)
    return _OF_TRACE[name](trace)


def layer_scores(trace: Trace) -> tuple[LayerScores, ...]:
    """The scores that an `Analysis` holds, of every layer."""
    columns = {field: of_trace(name, trace) for name, field in _FIELDS.items()}
    return tuple(
        LayerScores(
            **{name: _read_only(values[i]) for name, values in columns.items()},
            nodes_kan2=_read_only(columns["kan2"][i].sum(1)),
            nodes_path=_read_only(columns["path"][i].sum(1)),
        )
        for i in range(len(trace.layers))
    )


def held_score(name: str) -> Score:
    """One of the scores that `LayerScores` holds, by name.

    Raises
    ------
    InputError
        It holds no such score.
    """
    if name not in _FIELDS:
        raise InputError(f"no score {name!r} of a trace at hand; known are: {', '.join(_FIELDS)}")
    return score_named(name)


def edge_scores(scores: tuple[LayerScores, ...], name: str, norm: str = "max") -> Layers:
    """One number >= 0 per edge, shape (dst, src) per layer: |score|, over the outputs by ``norm`` (see `aggregate`).

    Raises
    ------
    InputError
        `LayerScores` does not hold this score.
    """
    per_output = held_score(name).per_output
    arrays = (getattr(layer, _FIELDS[name]) for layer in scores)
    return tuple(aggregate(values, norm) if per_output else np.abs(values) for values in arrays)


def _read_only(values: Array) -> Array:
    values = np.array(values)
    values.flags.writeable = False
    return values
