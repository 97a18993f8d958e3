"""Cut edges, nodes and inputs out of a head: constants fold into biases, a new head comes back."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kaninterp.nn.closure import Floats, Mask, checked_plan, closed, edges_at, live_nodes
from kaninterp.nn.head import KANHead, original_ids, rebuilt
from kaninterp.nn.layer import KANLayer

__all__ = ["Maps", "narrow_head", "prune_head"]

Maps: TypeAlias = "tuple[tuple[int, ...], ...]"
"""Per layer 0..L: the original numbers of the nodes that are left."""


def prune_head(
    head: KANHead,
    keep: Sequence[npt.ArrayLike],
    constants: Sequence[npt.ArrayLike] | None = None,
    *,
    compact: bool = True,
    inputs: Sequence[int] = (),
) -> tuple[KANHead, Maps]:
    """Cut edges out of a head; each becomes a constant that is folded into its target's bias.

    Then closure (law 4): a node without live incoming edges is a constant, its outgoing edges are evaluated
    there and folded downstream; incoming edges of a node that nobody reads are cut.

    Parameters
    ----------
    head
        Not changed.
    keep
        Per layer a boolean array (dst, src): True where the edge may stay. Edges masked before stay masked.
    constants
        Per layer an array (dst, src): what each cut edge is replaced by, for example its mean over the data;
        entries of kept edges are not used. None: 0 everywhere.
    compact
        True: remove nodes and inputs without live edges from the tensors. False: only mask them.
    inputs
        Positions of inputs that stay in the tensors even without live edges, so that others keep theirs.

    Returns
    -------
    new : KANHead
        Accepts inputs of the old width. Masked and compact heads agree on every input (1e-6 in float32).
    maps : tuple of tuple of int
        Original node numbers per layer 0..L, composed over repeated prunes (also ``new.node_ids``).

    Raises
    ------
    PlanError
        Arrays that do not fit the head, or constants of cut edges that are not finite. Nothing is changed.

    Notes
    -----
    Outputs are never removed. Where nothing is left to keep, a compact layer keeps one masked node (and the
    head one masked input), so that it stays a valid module; the head is then a constant.

    Examples
    --------
    >>> import numpy as np, torch
    >>> head = KANHead(3, 1, (2,), generator=torch.Generator().manual_seed(0))
    >>> keep = [np.array([[1, 0, 1], [0, 0, 0]], bool), np.ones((1, 2), bool)]
    >>> small, maps = prune_head(head, keep)
    >>> maps, small.widths, small.in_features
    (((0, 2), (0,), (0,)), (2, 1, 1), 3)
    >>> masked, _ = prune_head(head, keep, compact=False)
    >>> x = torch.rand(100, 3)
    >>> torch.allclose(small(x), masked(x), atol=1e-6)
    True
    """
    live, shifts = checked_plan(head.kan_layers, keep, constants)
    live, biases = closed(head.kan_layers, live, shifts)
    layers = [_with_edges(*parts) for parts in zip(head.kan_layers, live, biases, strict=True)]
    masked = rebuilt(head, layers)
    before = original_ids(head)
    places = live_nodes(live)
    if inputs:
        places[0] = sorted({*np.flatnonzero(live[0].any(0)).tolist(), *inputs})
    if not compact or tuple(map(len, places)) == head.widths:
        return masked, before
    small = [_sliced(layer, rows, columns) for layer, (columns, rows) in zip(layers, pairwise(places), strict=True)]
    maps = tuple(tuple(ids[place] for place in kept) for ids, kept in zip(before, places, strict=True))
    hidden = [len(ids) for ids in maps[1:-1]]
    return rebuilt(masked, small, hidden=hidden, select=maps[0], node_ids=maps), maps


def narrow_head(head: KANHead, keep: Sequence[int], fill: Tensor | None = None, *, compact: bool = True) -> KANHead:
    """Cut all edges out of the inputs that are not in `keep`, holding those inputs at `fill`.

    Parameters
    ----------
    head
        Not changed.
    keep
        Input numbers, in the numbering of the full-width input.
    fill
        Shape (in_features,); None: 0.
    compact
        As for `prune_head`.

    Returns
    -------
    KANHead
        ``new(x) == head(x with dropped inputs set to fill)``.

    Examples
    --------
    >>> import torch
    >>> head = KANHead(3, 2, generator=torch.Generator().manual_seed(0))
    >>> narrow_head(head, (1,)).select
    (1,)
    """
    read = list(original_ids(head)[0])
    held = torch.zeros(head.in_features) if fill is None else fill.detach().cpu()
    at = held.double()[read].reshape(1, -1)
    kept = np.isin(read, list(keep))
    at[:, torch.from_numpy(kept)] = 0.0  # not used; the fill may be anything there
    layers = head.kan_layers
    masks = [np.ones((layer.out_features, layer.in_features), bool) for layer in layers]
    masks[0] &= kept
    constants = [edges_at(layers[0], at), *(np.zeros(mask.shape) for mask in masks[1:])]
    return prune_head(head, masks, constants, compact=compact)[0]


def _with_edges(layer: KANLayer, mask: Mask, bias: Floats) -> KANLayer:
    """Copy a layer with another mask and bias."""
    new = copy.deepcopy(layer)
    new.set_mask(torch.from_numpy(mask).to(new.mask))
    with torch.no_grad():
        new.bias.copy_(torch.from_numpy(bias))
    if new.formulas is not None:
        new.formulas = new.formulas.cut(new.mask)
    return new


def _sliced(layer: KANLayer, rows: list[int], columns: list[int]) -> KANLayer:
    """Copy a layer with some of its outputs and inputs only."""
    spec = layer.spec
    new = KANLayer(
        len(columns), len(rows), grid=spec.grid, order=spec.order, uniform=spec.uniform, outside=spec.outside,
        base=spec.base, noise=layer.noise, moving_domain=layer.moving_domain, device="meta", dtype=layer.weight.dtype,
    ).to_empty(device=layer.weight.device)  # fmt: skip
    state = {name: value for name, value in layer.state_dict().items() if "." not in name}
    state["weight"] = state["weight"][rows][..., columns]
    state["mask"] = state["mask"][rows][:, columns]
    state["bias"] = state["bias"][rows]
    state["knots"] = state["knots"][columns]
    state["seen"] = state["seen"][:, columns]
    state["start"] = state["start"][:, rows][..., columns]
    new.load_state_dict(state)
    if layer.formulas is not None:
        new.formulas = layer.formulas.cut(layer.mask, rows, columns)
    new.weight.requires_grad_(layer.weight.requires_grad)
    new.bias.requires_grad_(layer.bias.requires_grad)
    return new.train(layer.training)
