"""Parameter randomisation: an explanation must change when the model's numbers are shuffled."""

from __future__ import annotations

import copy
from itertools import combinations

import numpy as np
import torch
from torch import nn

from kaninterp.adapters.pykan import no_notes, structural
from kaninterp.core.frozen import Array, BoolArray
from kaninterp.core.rank import spearman
from kaninterp.core.trust import TrustReading
from kaninterp.measure.explainer import Explainer
from kaninterp.measure.rows import Rows

__all__ = ["randomised_reading"]

OUTPUTS = 4
"""Outputs explained: each costs one backward pass for every copy."""

LEAST_PLACES = 4
"""Fewer places, columns x lags, have hardly any rankings to tell apart."""


VISIBLE = 0.05
"""Part of the largest effect below which one is taken for none: on a map of the explanation it would not be seen, and
the order of hundreds of such effects would decide."""


def randomised_reading(
    model: nn.Module, held: Rows, *, reads: BoolArray, draws: int, rng: np.random.Generator
) -> TrustReading:
    """Rank agreement of the explanation with those of copies whose parameters are shuffled (Adebayo et al. 2018).

    In a copy the values of every parameter are permuted among themselves: their distribution stays, what they have
    learnt is gone; buffers stay. The explanation is the mean |gradient x deviation from the column's mean| of every
    column and lag, the largest over the outputs, as one step of Integrated Gradients would give it. Effects below
    `VISIBLE` of the largest share the last rank.

    Where columns differ in spread, or a recurrent model forgets what is far away, maps are alike without anything
    learnt. How much so is ``chance``: the agreement of the copies with each other.

    Parameters
    ----------
    model : nn.Module
        Call it inside `untouched`. Copied, never changed.
    held : Rows
        Some rows of the data; a few dozen do.
    reads : ndarray of bool, shape (columns,)
        Columns that the model reads at all.
    draws : int
        Copies, at least 2.
    rng : numpy.random.Generator
        Of the permutations.

    Returns
    -------
    TrustReading
        Mean Spearman correlation with the copies, low is good; the interval is two standard errors over the copies.

    References
    ----------
    Adebayo et al. (2018), Sanity checks for saliency maps, arXiv 1810.03292.
    """
    places = _places(held, reads)
    if int(places.sum()) < LEAST_PLACES:
        return TrustReading.unmeasured("randomised", "too few columns and lags move the loss to rank them")
    own = _map(model, held)[places]
    if not own.any():
        return TrustReading.unmeasured("randomised", "no input moves the output, so there is no explanation to compare")
    try:
        maps = [_map(_shuffled(model, rng), held)[places] for _ in range(draws)]
    except (RuntimeError, TypeError, AttributeError) as error:
        return TrustReading.unmeasured("randomised", f"the model cannot be copied ({type(error).__name__})")
    live = [each for each in maps if np.isfinite(each).all() and each.any()]
    found = np.array([spearman(own, each) for each in live])
    between = [spearman(a, b) for a, b in combinations(live, 2)]
    if len(live) < 2 or np.isnan(found).any():
        return TrustReading.unmeasured(
            "randomised", "with shuffled parameters the model gives no numbers, or a constant"
        )
    room = 2 * float(found.std(ddof=1)) / len(found) ** 0.5
    return TrustReading(
        check="randomised",
        value=float(found.mean()),
        low=max(-1.0, float(found.mean()) - room),
        high=min(1.0, float(found.mean()) + room),
        chance=float(np.mean(between)),
        effort=f"{held.n:,} rows, {len(live)} shuffled copies, {int(places.sum()):,} columns x lags",
    )


def _places(held: Rows, reads: BoolArray) -> BoolArray:
    """Lags and columns that exist and are read, (lags, columns)."""
    there = [torch.ones_like(x[:1]) for x in held.batch.inputs if x.is_floating_point()]
    return np.asarray(held.columns.effects(there)[0].flip(0).double().cpu().numpy() > 0) & reads


def _map(model: nn.Module, held: Rows) -> Array:
    """Mean size of the effect of each lag and column, (lags, columns), the largest over the outputs; lag 0 first."""
    effects = [
        held.columns.effects(parts).double().abs().mean(0).flip(0) for parts in Explainer(model, held).slopes(OUTPUTS)
    ]
    found = np.asarray(torch.stack(effects).amax(0).cpu().numpy())
    return np.where(found < VISIBLE * found.max(), 0.0, found)


def _shuffled(model: nn.Module, rng: np.random.Generator) -> nn.Module:
    """A copy whose parameters hold the same values in another order, tensor by tensor."""
    with no_notes(model):
        new = copy.deepcopy(model)
    kept = structural(new)
    with torch.no_grad():
        for parameter in (each for each in new.parameters() if id(each) not in kept):
            order = torch.from_numpy(rng.permutation(parameter.numel())).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))
    return new
