"""Where in columns and time lags the outputs come from: captum on the whole model, gradients on every node.

Integrated Gradients (Sundararajan, Taly & Yan 2017) with two baselines and its completeness residual kept; one
perturbation method beside it (captum's FeatureAblation over whole columns). A model through which no gradient flows is
run again instead, see `kaninterp.measure.sampled`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from captum.attr import FeatureAblation, IntegratedGradients
from torch import Tensor, nn
from tqdm import tqdm

from kaninterp.adapters import as_view
from kaninterp.core import InputAttribution
from kaninterp.core.evidence import GRADIENTS, SAMPLED
from kaninterp.core.frozen import Array
from kaninterp.data import Batch, check_seed
from kaninterp.measure.host import output_tensor, untouched
from kaninterp.measure.node_lags import column_means, node_lags
from kaninterp.measure.rows import Rows, held_rows
from kaninterp.measure.sampled import fitting_rows, sampled
from kaninterp.measure.tracing import PROGRESS_DELAY, prepared
from kaninterp.nn.gradients import with_gradients

__all__ = ["attribute"]

DEFAULT_ROWS = 128
"""Rows explained, evenly spaced: means over them are what the report shows."""
IG_STEPS = 32
"""Gauss-Legendre steps of the path integral; the residual printed beside it says whether they suffice."""
BASELINES = ("mean of each column", "another row of the data")
MAX_OUTPUTS = 16
"""Outputs explained; more would take minutes and nobody reads them."""


@with_gradients
def attribute(
    model: nn.Module,
    data: Any,
    *,
    target: Any = None,
    feature_names: Sequence[str] | None = None,
    path: str | None = None,
    rows: int = DEFAULT_ROWS,
    steps: int = IG_STEPS,
    seed: int = 0,
    progress: bool = True,
) -> InputAttribution:
    """Attribute the model's outputs, and every node of its KAN, to raw columns and time lags.

    Parameters
    ----------
    model, data, target, feature_names, path, progress
        As for `trace`.
    rows : int
        Rows explained at most, evenly spaced.
    steps : int
        Steps of Integrated Gradients.
    seed : int
        Of the choice of baseline rows; global generators are not touched.

    Returns
    -------
    InputAttribution
        For a model with an output per time step, the last step is explained. Where no gradient flows back to a column
        (a rounding, a tree, `torch.no_grad` inside the model), ``method`` says so, and effects are Shapley values of
        drawn orders; they add up by construction.

    Raises
    ------
    ModelError
        The inputs are neither tables nor sequences, or the model has no KAN.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), ki.KANHead(3, 1))
    >>> ki.attribute(model, torch.randn(50, 2)).signed.shape
    (2, 1, 1, 2)
    """
    check_seed(seed)
    view = as_view(model, path)
    held = held_rows(prepared(model, data, target=target, feature_names=feature_names), rows)
    order = torch.from_numpy(np.roll(np.random.default_rng(seed).permutation(held.n), 1))
    # cuDNN has no backward pass of an RNN in eval mode, hence it is switched off here
    with untouched(model), torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        host = _Host(model, held)
        baselines = (_means(held), tuple(x[order] if x.is_floating_point() else x for x in held.batch.inputs))
        perturbation = _perturbed(host, baselines[0])
        runs = _along_gradients(host, baselines, steps, progress) if host.differentiable() else []
        numbers = all(np.isfinite(run[0]).all() for run in runs)  # a grid of no width has an output, but no gradient
        method = GRADIENTS if runs and numbers and _seen(runs, perturbation) else SAMPLED
        if method == SAMPLED:
            host = host.few(fitting_rows(host.inputs()))
            runs = _by_sampling(
                host, [_every(b, held.n, host) for b in baselines], np.random.default_rng(seed), progress
            )
        lags_of_nodes = node_lags(model, view, held, progress)
    return InputAttribution(
        names=held.columns.names,
        rows=host.held.n,
        baselines=BASELINES,
        signed=np.stack([run[0] for run in runs]),
        magnitude=np.stack([run[1] for run in runs]),
        residual=np.stack([run[2] for run in runs]),
        perturbation=perturbation,
        node_lags=lags_of_nodes,
        method=method,
    )


class _Host:
    """The model as captum wants it: float tensors in, (rows, outputs) out."""

    def __init__(self, model: nn.Module, held: Rows) -> None:
        self.held = held
        self._model = model
        self.floats = [i for i, x in enumerate(held.batch.inputs) if x.is_floating_point()]
        with torch.no_grad():
            self.outputs = min(self(*self.inputs()).shape[1], MAX_OUTPUTS)

    def few(self, limit: int) -> _Host:
        """The same for every k-th row, so that there are about ``limit``."""
        rows = self.held.batch.rows(slice(None, None, max(1, -(-self.held.n // limit))))
        return _Host(self._model, replace(self.held, batch=rows))

    def differentiable(self) -> bool:
        """Whether the outputs know a gradient in every input."""
        inputs = [x.detach().clone().requires_grad_() for x in self.inputs()]
        total = self(*inputs)[:, : self.outputs].sum()
        if not total.requires_grad:
            return False
        slopes = torch.autograd.grad(total, inputs, allow_unused=True)
        return all(slope is not None for slope in slopes)

    def inputs(self, values: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        source = self.held.batch.inputs if values is None else values
        return tuple(source[i] for i in self.floats)

    def __call__(self, *values: Tensor) -> Tensor:
        batch = self.held.batch
        repeats = values[0].shape[0] // batch.n_rows
        inputs = [x if x.is_floating_point() else x.repeat(repeats, *[1] * (x.dim() - 1)) for x in batch.inputs]
        for place, value in zip(self.floats, values, strict=True):
            inputs[place] = value
        output = output_tensor(Batch(inputs=tuple(inputs), keys=batch.keys, target=None).call(self._model))
        if output.dim() == 1:
            return output.unsqueeze(1)
        return output if output.dim() == 2 else output[:, -1].flatten(1)


Run = tuple[Array, Array, Array]
"""Mean, mean absolute value, each (outputs, lags, columns), and the completeness residual per output."""


def _along_gradients(host: _Host, baselines: Sequence[Sequence[Tensor]], steps: int, progress: bool) -> list[Run]:
    return [_integrated(host, baseline, steps, progress) for baseline in baselines]


def _every(baseline: Sequence[Tensor], rows: int, host: _Host) -> tuple[Tensor, ...]:
    """The rows of a baseline that belong to those of a host with fewer."""
    return tuple(x[:: -(-rows // host.held.n)] for x in baseline)


def _seen(runs: Sequence[Run], perturbation: Array) -> bool:
    """Whether every column that moves an output has a gradient somewhere: a rounding has none anywhere."""
    magnitude = np.stack([run[1] for run in runs]).sum((0, 1, 2))
    return not bool(((perturbation.max(0) > 0) & (magnitude == 0)).any())


def _by_sampling(
    host: _Host, baselines: Sequence[Sequence[Tensor]], rng: np.random.Generator, progress: bool
) -> list[Run]:
    """The same by `sampled`."""
    runs = []
    for baseline in baselines:
        inputs, base = host.inputs(), host.inputs(baseline)
        with torch.no_grad():
            gap = (host(*inputs) - host(*base)).double()[:, : host.outputs]
            every = sampled(lambda *x: host(*x)[:, : host.outputs], inputs, base, rng, progress=progress)
        effects = [host.held.columns.effects(parts).flip(1) for parts in every]
        runs.append(_summary(effects, gap))
    return runs


def _summary(effects: Sequence[Tensor], gap: Tensor) -> Run:
    """Of effects (rows, lags, columns) per output, and the gap (rows, outputs) that they should sum to."""
    residual = []
    for output, values in enumerate(effects):
        left = (values.sum((1, 2)) - gap[:, output]).abs().median()
        scale = gap[:, output].abs().median()
        residual.append(float(left / scale) if float(scale) > 0 else 0.0)
    signed = np.stack([values.mean(0).cpu().numpy() for values in effects])
    return signed, np.stack([values.abs().mean(0).cpu().numpy() for values in effects]), np.array(residual)


def _integrated(host: _Host, baseline: Sequence[Tensor], steps: int, progress: bool) -> Run:
    method = IntegratedGradients(host)
    inputs, base = host.inputs(), host.inputs(baseline)
    with torch.no_grad():
        gap = (host(*inputs) - host(*base)).double()
    effects = []
    for output in tqdm(range(host.outputs), desc="lags", delay=PROGRESS_DELAY, leave=False, disable=not progress):
        parts = method.attribute(inputs, baselines=base, target=output, n_steps=steps, internal_batch_size=2048)
        effects.append(host.held.columns.effects(parts).detach().double().flip(1))  # lag 0 first
    return _summary(effects, gap)


def _perturbed(host: _Host, baseline: Sequence[Tensor]) -> Array:
    """Mean |change| of each output when a whole column takes its mean, (outputs, columns)."""
    method = FeatureAblation(host)
    inputs, base = host.inputs(), host.inputs(baseline)
    start, masks = 0, []
    for x in inputs:
        masks.append((start + torch.arange(x.shape[-1], device=x.device)).expand(1, *x.shape[1:]))
        start += x.shape[-1]
    rows = []
    with torch.no_grad():
        for output in range(host.outputs):
            parts = method.attribute(inputs, baselines=base, target=output, feature_mask=tuple(masks))
            last = host.held.columns.effects(parts)[:, -1]
            rows.append(last.detach().double().abs().mean(0).cpu().numpy())
    return np.stack(rows)


def _means(held: Rows) -> tuple[Tensor, ...]:
    """The held rows with every column at its mean; indices stay."""
    means = iter(column_means(held))
    return tuple(next(means).expand_as(x).contiguous() if x.is_floating_point() else x for x in held.batch.inputs)
