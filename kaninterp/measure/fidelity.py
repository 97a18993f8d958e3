"""captum's two measures of an explanation: infidelity, and how far it moves when the input hardly does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from captum.metrics import infidelity, sensitivity_max
from torch import Tensor, nn

from kaninterp.core.frozen import Array, BoolArray
from kaninterp.core.trust import TrustReading
from kaninterp.measure.bootstrap import LEVEL, BlockBootstrap, quotients
from kaninterp.measure.cells import cells_of, labels_of, places_in
from kaninterp.measure.explainer import Explainer
from kaninterp.measure.rows import Rows

__all__ = ["infidelity_reading", "sensitivity_reading"]

OUTPUTS = 4
"""Outputs judged at most; the worst of them counts."""

RADIUS = 0.05
"""Largest change of a value, in standard deviations of its column: within what a sensor or a rounding would do."""

IG_STEPS = 8
"""Steps of Integrated Gradients where a hundred explanations are compared with each other."""

Explain = Callable[..., tuple[Tensor, ...]]
Perturb = Callable[..., tuple[tuple[Tensor, ...], tuple[Tensor, ...]]]


def infidelity_reading(
    model: nn.Module, held: Rows, *, reads: BoolArray, steps: int, samples: int, rng: np.random.Generator
) -> TrustReading:
    """How badly attributions foretell what the output does when parts of a row go to their mean (Yeh et al. 2019).

    A random set of parts (columns, or stretches of lags) of every row is put at the columns' means. The output should
    change by the sum of their attributions. The mean squared difference is divided by that of an explanation that is
    zero everywhere, which is the mean squared change itself.

    Parameters
    ----------
    model : nn.Module
        Call it inside `untouched`.
    held : Rows
        Rows explained.
    reads : ndarray of bool, shape (columns,)
        Columns that may be put at their mean.
    steps : int
        Steps of Integrated Gradients, the attributions that are judged.
    samples : int
        Random sets for each row.
    rng : numpy.random.Generator
        Of the sets and the bootstrap.

    Returns
    -------
    TrustReading
        0 is perfect, 1 (``chance``) no better than no explanation; the worst output. The interval is a block bootstrap
        over rows.

    References
    ----------
    Yeh et al. (2019), On the (in)fidelity and sensitivity of explanations, arXiv 1901.09392; `captum.metrics`.
    """
    if not reads.any():
        return TrustReading.unmeasured("infidelity", "no column moves the loss")
    explainer = Explainer(model, held)
    found, seed = [], int(rng.integers(2**32))
    for output in range(_outputs(explainer)):
        parts = explainer.explain(output, steps, *explainer.inputs, *explainer.extras)
        errors = [
            _errors(explainer, held, each, reads=reads, output=output, samples=samples, seed=seed)
            for each in (parts, tuple(torch.zeros_like(part) for part in parts))
        ]
        if errors[1].mean() > 0:
            found.append(np.stack(errors, axis=1))
    if not found:
        return TrustReading.unmeasured("infidelity", "no input moves the output, so there is nothing to foretell")
    worst = max(found, key=lambda pair: pair[:, 0].mean() / pair[:, 1].mean())
    drawn = BlockBootstrap(held.n, held.block, rng).means(worst)
    low, high = np.nanquantile(quotients(drawn[:, 0], drawn[:, 1]), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return TrustReading(
        check="infidelity",
        value=float(worst[:, 0].mean() / worst[:, 1].mean()),
        low=float(low),
        high=float(high),
        chance=1.0,
        effort=f"{held.n:,} rows, {samples} random sets each, {steps} steps",
    )


def sensitivity_reading(model: nn.Module, held: Rows, *, samples: int, rng: np.random.Generator) -> TrustReading:
    """Largest relative change of a row's explanation when each value moves by `RADIUS` at most; the middle row.

    Parameters
    ----------
    model : nn.Module
        Call it inside `untouched`.
    held : Rows
        Rows explained.
    samples : int
        Random moves of each row, uniform within the radius.
    rng : numpy.random.Generator
        Of the moves.

    Returns
    -------
    TrustReading
        0 is best; at 1 the explanation changes as much as it is large. The worst output; there is no interval.

    References
    ----------
    Yeh et al. (2019), arXiv 1901.09392; `captum.metrics.sensitivity_max`.
    """
    explainer = Explainer(model, held)
    found, seed = [], int(rng.integers(2**32))
    for output in range(_outputs(explainer)):
        explained = _explained(explainer, output)
        if not any(part.any() for part in explained(explainer.inputs, explainer.extras)):
            continue
        worst = sensitivity_max(
            explained,
            explainer.inputs,
            perturb_func=_moved(explainer, np.random.default_rng(seed)),
            n_perturb_samples=samples,
            additional_forward_args=explainer.extras or None,
        )
        found.append(float(worst.double().median()))
    if not found:
        return TrustReading.unmeasured("sensitivity", "no input moves the output, so there is no explanation to move")
    return TrustReading(
        check="sensitivity",
        value=max(found),
        effort=f"{held.n:,} rows, {samples} moves of up to {RADIUS} sd each",
    )


def _outputs(explainer: Explainer) -> int:
    with torch.no_grad():
        return min(OUTPUTS, explainer(*explainer.inputs, *explainer.extras).shape[1])


def _explained(explainer: Explainer, output: int) -> Explain:
    def explained(values: tuple[Tensor, ...], additional_forward_args: Any = None) -> tuple[Tensor, ...]:
        return explainer.explain(output, IG_STEPS, *values, *(additional_forward_args or ()))

    return explained


def _moved(explainer: Explainer, rng: np.random.Generator) -> Callable[[Any], tuple[Tensor, ...]]:
    """Moves every value by up to `RADIUS` standard deviations of its column."""
    scales = [RADIUS * spread for spread in explainer.spreads()]

    def moved(values: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:  # captum hands over one tensor as it is
        given = values if isinstance(values, tuple) else (values,)
        noise = [torch.from_numpy(rng.uniform(-1, 1, tuple(x.shape))).to(x) for x in given]
        return tuple(x + scale * each for x, scale, each in zip(given, scales, noise, strict=True))

    return moved


def _errors(
    explainer: Explainer,
    held: Rows,
    attributions: tuple[Tensor, ...],
    *,
    reads: BoolArray,
    output: int,
    samples: int,
    seed: int,
) -> Array:
    """Infidelity of each row, (rows,); the same seed gives the same sets."""
    found = infidelity(
        explainer,
        _to_means(explainer, held, reads, np.random.default_rng(seed)),
        explainer.inputs,
        attributions,
        additional_forward_args=explainer.extras or None,
        target=output,
        n_perturb_samples=samples,
    )
    return np.asarray(found.double().cpu().numpy())


def _to_means(explainer: Explainer, held: Rows, reads: BoolArray, rng: np.random.Generator) -> Perturb:
    """Puts random parts at the mean. The perturbation is handed back as 0 or 1, for attributions are effects."""
    cells = cells_of(held, reads)
    labels = labels_of(cells, held.batch)

    def perturb(values: Tensor | tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        given = values if isinstance(values, tuple) else (values,)  # captum hands over one tensor as it is
        rows = len(given[0])
        chosen = rng.random((rows, len(cells))) < rng.random((rows, 1))  # small and large sets alike
        picked = [places_in(chosen, labels[place]) for place in explainer.places]
        gone = [torch.where(pick, mean, x) for pick, mean, x in zip(picked, explainer.means(), given, strict=True)]
        return tuple(pick.to(x) for pick, x in zip(picked, given, strict=True)), tuple(gone)

    return perturb
