"""`check_view`: whether a view of a KAN keeps what every measurement relies on (law 1), said on rows of data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from kaninterp.adapters.pykan import no_notes
from kaninterp.adapters.view import LayerView, ModelView
from kaninterp.core.errors import ModelError

__all__ = ["allowed_gap", "check_view", "evaluating"]

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
"""Law 1, relative to the size of the summed edges; coarser types get `COARSE`."""
COARSE = 5e-2
"""Of bfloat16 and half: three digits, in sums of many edges."""
VALUES = 2**20
"""Edges times rows on which all but their sum is checked: 402,000 edges took 0.3 seconds on one core, all rows 2."""
FEWEST = 3
"""Rows that are always checked: with two of them, inputs moved along the rows would come in pairs."""
CORRECT = "Correct the view"
NO_EDGES = (
    "a normalisation or a product inside the layer would do this. Move it out of the layer: build the layer without it "
    "(use_layernorm=False), or put it in front of the KAN, and train again; or use a kaninterp.KANHead instead. In a "
    "view of your own, edges(x) and bias have to give what the layer computes"
)
"""What to do about a layer that is no sum of functions of one input."""


@torch.no_grad()
def check_view(view: ModelView, x: Tensor) -> None:
    """Hold a view against its module, on given rows of layer 0; the contract that every adapter keeps.

    For every layer: knots, alive edges and bias have their shapes, and the knots rise; masked edges are 0; every
    edge is a function of its own input alone; ``edges(x).sum(-1) + bias == layer(x)``; and where the layer offers a
    shared basis, planes times coefficients are the edges, and their base part the base edges. For the whole: the
    module is its layers one after the other.

    Parameters
    ----------
    view : ModelView
        From `as_view`, or from an adapter that is being written.
    x : Tensor, shape (n, src)
        Rows that the first layer reads, in the number type of the layers. Rows outside the domain should be among them.

    Raises
    ------
    ModelError
        What does not hold, by how much, and what to do; nothing said about single edges would be true then.

    Notes
    -----
    The module is run in eval mode; its flags are given back as found. Differences are allowed up to 1e-5 (float32)
    or 1e-10 (float64) of the largest sum of absolute edges.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> from kaninterp.adapters import as_view, check_view
    >>> check_view(as_view(ki.KANHead(3, 1, (2,), domain=(-1, 1))), torch.randn(50, 3))
    """
    with evaluating(view.module), no_notes(view.module):
        values = view.activations(x)
        for depth, (layer, given, taken) in enumerate(zip(view.layers, values, values[1:], strict=False)):
            where = f"layer {depth} of {view.kind}"
            _check_shapes(layer, where)
            if len(given):
                _check_finite(given, taken, where)
                _check_edges(layer, given, taken, where)
        if view.columns is None and len(x):
            _check_whole(view, x, values[-1])


def _check_shapes(layer: LayerView, where: str) -> None:
    knots, alive, bias = layer.knots, layer.alive, layer.bias
    shapes = {"knots": (layer.src, max(knots.shape[-1], 2)), "bias": (layer.dst,), "alive": (layer.dst, layer.src)}
    for name, wanted in shapes.items():
        got = np.shape(getattr(layer, name))
        if got != wanted:
            raise ModelError(f"{where}: {name} of its view have shape {got}; allowed: {wanted}, see LayerView")
    rising = (np.diff(knots) >= 0).all() and (knots[:, -1] > knots[:, 0]).all()  # coarse types may join two of them
    if alive.dtype != bool or not np.isfinite(bias).all() or not rising:
        raise ModelError(f"{where}: its view needs rising knots, a bool array of alive edges and a finite bias")


def _check_finite(given: Tensor, taken: Tensor, where: str) -> None:
    if bool(torch.isfinite(given).all()) and not torch.isfinite(taken).all():
        raise ModelError(
            f"{where} gives NaN or infinite values for finite inputs: its weights are no numbers, a formula in it is "
            "not defined there, or its knots coincide, as of a grid fitted to a constant column. Train it again with a "
            "smaller learning rate, or build it without that column"
        )


def _check_edges(layer: LayerView, x: Tensor, taken: Tensor, where: str) -> None:
    edges = layer.edges(x)
    _check_form(edges, layer, len(x), f"{where}: its view gives edges")
    bias = torch.as_tensor(layer.bias, dtype=edges.dtype, device=edges.device)
    size = float(edges.abs().sum(-1).max()) + float(bias.abs().max())
    allowed = allowed_gap(edges.dtype, size)
    _hold(edges.sum(-1) + bias, taken, allowed, f"{where} is not the sum of its edges", NO_EDGES)
    rows = max(FEWEST, VALUES // edges[0].numel())
    x, edges = x[:rows], edges[:rows]
    dead = torch.as_tensor(~layer.alive, device=edges.device)
    _hold(edges[:, dead], torch.zeros_like(edges[:, dead]), 0.0, f"{where}: masked edges are not 0", "Mask them")
    _check_own_input(layer, x, edges, allowed, where)
    base = layer.base_edges(x)
    _check_form(base, layer, len(x), f"{where}: its view gives base edges")
    planes = layer.planes(x)
    for name, weight, wanted in (("", layer.coefficients(), edges), ("base ", layer.base_coefficients(), base)):
        if planes is not None and weight is not None:
            made = torch.einsum("nmi,omi->noi", planes, weight.to(planes.dtype))
            _hold(made, wanted, allowed, f"{where}: planes times {name}coefficients are not its {name}edges", CORRECT)


def _check_form(edges: Tensor, layer: LayerView, rows: int, what: str) -> None:
    shape = (rows, layer.dst, layer.src)
    if edges.shape != shape:
        raise ModelError(f"{what} of shape {tuple(edges.shape)}; allowed: (n, dst, src) = {shape}")


def _check_own_input(layer: LayerView, x: Tensor, edges: Tensor, allowed: float, where: str) -> None:
    """Every input moved by another number of rows: an edge that reads only its own input moves along with it."""
    rows = torch.arange(len(x), device=x.device).unsqueeze(1)
    source = (rows - torch.arange(layer.src, device=x.device)) % len(x)  # (n, src)
    moved = layer.edges(x.gather(0, source))
    expected = edges.gather(0, source.unsqueeze(1).expand_as(edges))
    _hold(moved, expected, allowed, f"{where} is not the sum of its edges: an edge reads other inputs too", NO_EDGES)


def _check_whole(view: ModelView, x: Tensor, last: Tensor) -> None:
    kind = view.kind
    try:
        output = view.module(x)
        output = output[0] if isinstance(output, tuple) else output  # a layer of pykan gives its nodes first of four
    except (RuntimeError, TypeError, ValueError) as error:
        raise ModelError(
            f"{kind} cannot be called with the {x.shape[1]} columns that its first layer reads: {error}. Put the "
            "layers of the KAN into one nn.Sequential of their own, so that they can be told from what is around them"
        ) from error
    same = isinstance(output, Tensor) and output.numel() == last.numel()
    _hold(
        output.reshape(last.shape) if same else torch.full_like(last, torch.nan),
        last,
        allowed_gap(last.dtype, float(last.abs().max())),
        f"{kind} is not its KAN layers one after the other",
        "Something else happens between or around them (a normalisation, an activation, a skip). Move it in front of "
        "the KAN or behind it, into the host; or explain one layer alone, with path= of that layer",
    )


def _hold(found: Tensor, expected: Tensor, allowed: float, what: str, advice: str) -> None:
    gap = float((found - expected).abs().max()) if found.numel() else 0.0
    if not gap <= allowed:
        raise ModelError(f"{what}: off by {gap:.3g}, allowed {allowed:.3g}; {advice}")


def allowed_gap(dtype: torch.dtype, size: float) -> float:
    """Largest difference that is rounding, in sums of this size.

    Examples
    --------
    >>> allowed_gap(torch.float32, 20.0)
    0.0002
    """
    return TOLERANCE.get(dtype, COARSE) * max(size, 1.0)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Eval mode for a while: a layer in training may fit its domain to what it is shown, or drop nodes.

    Examples
    --------
    >>> layer = nn.Linear(2, 1)
    >>> with evaluating(layer):
    ...     layer.training
    False
    >>> layer.training
    True
    """
    flags = [(part, part.training) for part in module.modules()]
    try:
        for part, _ in flags:
            part.training = False
        yield
    finally:
        for part, training in flags:
            part.training = training
