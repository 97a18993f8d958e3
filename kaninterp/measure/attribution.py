"""Where in columns and time lags the outputs come from: captum on the whole model, gradients on every node.

Integrated Gradients (Sundararajan, Taly & Yan 2017) with two baselines and its completeness residual kept; one
perturbation method beside it (captum's FeatureAblation over whole columns).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from captum.attr import FeatureAblation, IntegratedGradients
from torch import Tensor, nn
from tqdm import tqdm

from kaninterp.adapters import ModelView, as_view
from kaninterp.core import InputAttribution
from kaninterp.core.frozen import Array
from kaninterp.data import Batch, check_seed
from kaninterp.measure.host import output_tensor, untouched, watched
from kaninterp.measure.rows import Rows, held_rows
from kaninterp.measure.tracing import PROGRESS_DELAY, prepared

__all__ = ["attribute", "node_lags"]

DEFAULT_ROWS = 128
"""Rows explained, evenly spaced: means over them are what the report shows."""
IG_STEPS = 32
"""Gauss-Legendre steps of the path integral; the residual printed beside it says whether they suffice."""
NODE_ROWS = 64
"""Rows whose gradients are averaged for each node of the KAN."""
BASELINES = ("mean of each column", "another row of the data")
MAX_OUTPUTS = 16
"""Outputs explained; more would take minutes and nobody reads them."""


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
        For a model with an output per time step, the last step is explained.

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
        runs = [_integrated(host, baseline, steps, progress) for baseline in baselines]
        perturbation = _perturbed(host, baselines[0])
        lags_of_nodes = node_lags(model, view, held, progress)
    return InputAttribution(
        names=held.columns.names,
        rows=held.n,
        baselines=BASELINES,
        signed=np.stack([run[0] for run in runs]),
        magnitude=np.stack([run[1] for run in runs]),
        residual=np.stack([run[2] for run in runs]),
        perturbation=perturbation,
        node_lags=lags_of_nodes,
    )


class _Host:
    """The model as captum wants it: float tensors in, (rows, outputs) out."""

    def __init__(self, model: nn.Module, held: Rows) -> None:
        self.held = held
        self._model = model
        self.floats = [i for i, x in enumerate(held.batch.inputs) if x.is_floating_point()]
        with torch.no_grad():
            self.outputs = min(self(*self.inputs()).shape[1], MAX_OUTPUTS)

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


def _integrated(host: _Host, baseline: Sequence[Tensor], steps: int, progress: bool) -> tuple[Array, Array, Array]:
    """Mean, mean absolute value, each (outputs, lags, columns), and the completeness residual per output."""
    method = IntegratedGradients(host)
    inputs, base = host.inputs(), host.inputs(baseline)
    with torch.no_grad():
        gap = (host(*inputs) - host(*base)).double()
    signed, magnitude, residual = [], [], []
    for output in tqdm(range(host.outputs), desc="lags", delay=PROGRESS_DELAY, leave=False, disable=not progress):
        parts = method.attribute(inputs, baselines=base, target=output, n_steps=steps, internal_batch_size=2048)
        values = host.held.columns.effects(parts).detach().double().flip(1)  # lag 0 first
        signed.append(values.mean(0).cpu().numpy())
        magnitude.append(values.abs().mean(0).cpu().numpy())
        left = (values.sum((1, 2)) - gap[:, output]).abs().median()
        scale = gap[:, output].abs().median()
        residual.append(float(left / scale) if float(scale) > 0 else 0.0)
    return np.stack(signed), np.stack(magnitude), np.array(residual)


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


def node_lags(model: nn.Module, view: ModelView, held: Rows, progress: bool) -> tuple[Array, ...]:
    """Mean |gradient x deviation from the column's mean| of every node of the KAN: one (n_l, T, F) per layer."""
    few = held.batch.rows(slice(None, None, max(1, held.n // NODE_ROWS)))
    inputs = tuple(x.detach().clone().requires_grad_(x.is_floating_point()) for x in few.inputs)
    floats = [x for x in inputs if x.is_floating_point()]
    away = [x.detach() - mean for x, mean in zip(floats, _column_means(held), strict=True)]
    with torch.enable_grad(), watched(view) as seen:
        output_tensor(Batch(inputs=inputs, keys=few.keys, target=None).call(model))
        nodes = view.activations(torch.cat([view.read(x) for x in seen]))
        every = [(layer, index) for layer, values in enumerate(nodes) for index in range(values.shape[1])]
        result = [np.zeros((values.shape[1], held.columns.lags, len(held.columns.names))) for values in nodes]
        for layer, index in tqdm(every, desc="nodes", delay=PROGRESS_DELAY, leave=False, disable=not progress):
            total = nodes[layer][:, index].sum()
            if not total.requires_grad:  # a constant node
                continue
            slopes = torch.autograd.grad(total, floats, retain_graph=True, materialize_grads=True)
            parts = [g * d for g, d in zip(slopes, away, strict=True)]
            values = held.columns.effects(parts)
            result[layer][index] = values.abs().mean(0).flip(0).double().cpu().numpy()
    return tuple(result)


def _column_means(held: Rows) -> list[Tensor]:
    """Mean of each column over rows and lags, one tensor (F,) per float input."""
    return [x.flatten(0, -2).mean(0) for x in held.batch.inputs if x.is_floating_point()]


def _means(held: Rows) -> tuple[Tensor, ...]:
    """The held rows with every column at its mean; indices stay."""
    means = iter(_column_means(held))
    return tuple(next(means).expand_as(x).contiguous() if x.is_floating_point() else x for x in held.batch.inputs)
