"""What a cut leaves behind: constants flow down into biases, nodes nobody reads go (law 4), as arrays."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kaninterp.core.errors import PlanError
from kaninterp.nn.layer import KANLayer

__all__ = ["Floats", "Mask", "checked_plan", "closed", "edges_at", "live_nodes"]

Mask: TypeAlias = "npt.NDArray[np.bool_]"
Floats: TypeAlias = "npt.NDArray[np.float64]"


def checked_plan(
    layers: Sequence[KANLayer], keep: Sequence[npt.ArrayLike], constants: Sequence[npt.ArrayLike] | None
) -> tuple[list[Mask], list[Floats]]:
    """Live edges after the cut, and what each cut edge leaves behind, as arrays of our own."""
    shapes = [(layer.out_features, layer.in_features) for layer in layers]
    masks = [np.asarray(mask) for mask in keep]
    if [mask.shape for mask in masks] != shapes or any(mask.dtype != bool for mask in masks):
        got = [f"{mask.shape} {mask.dtype}" for mask in masks]
        raise PlanError(f"keep must be boolean arrays (dst, src) of shapes {shapes}, one per layer, got {got}")
    values = [np.zeros(shape) for shape in shapes]
    if constants is not None:
        values = [np.asarray(value, dtype=np.float64) for value in constants]
        if [value.shape for value in values] != shapes:
            raise PlanError(f"constants must have shapes (dst, src) {shapes}, got {[value.shape for value in values]}")
    live, shifts = [], []
    for depth, (layer, mask, value) in enumerate(zip(layers, masks, values, strict=True)):
        before = (layer.mask.detach() != 0).cpu().numpy()
        shift = np.where(before & ~mask, value, 0.0)
        if not np.isfinite(shift).all():
            dst, src = np.argwhere(~np.isfinite(shift))[0]
            raise PlanError(f"the constant of cut edge (dst {dst}, src {src}) of layer {depth} is not finite")
        live.append(before & mask)
        shifts.append(shift)
    return live, shifts


def closed(
    layers: Sequence[KANLayer], live: Sequence[Mask], shifts: Sequence[Floats]
) -> tuple[list[Mask], list[Floats]]:
    """Close a cut: edges out of constant nodes are folded downstream, edges into unread nodes are cut.

    Parameters
    ----------
    layers
        Of the head before the cut.
    live
        Per layer (dst, src): edges that stay.
    shifts
        Per layer (dst, src): what the edges that were cut leave behind, 0 elsewhere.

    Returns
    -------
    live : list of (dst, src) bool arrays
        What is left.
    biases : list of (dst,) float64 arrays
        The layers' biases with every constant folded in.
    """
    kept: list[Mask] = []
    biases: list[Floats] = []
    constant = np.zeros(live[0].shape[1], dtype=bool)
    value = np.zeros(live[0].shape[1])
    for layer, mask, shift in zip(layers, live, shifts, strict=True):
        fixed = mask & constant
        at = edges_at(layer, torch.from_numpy(np.where(constant, value, 0.0)).reshape(1, -1))
        moved = shift + np.where(fixed, at, 0.0)
        kept.append(mask & ~fixed)
        biases.append(layer.bias.detach().double().cpu().numpy() + moved.sum(1))
        constant, value = np.logical_not(kept[-1].any(axis=1)), biases[-1]
    for depth in range(len(kept) - 1, 0, -1):
        kept[depth - 1] = kept[depth - 1] & kept[depth].any(axis=0).reshape(-1, 1)
    return kept, biases


def live_nodes(live: Sequence[Mask]) -> list[list[int]]:
    """Places of the nodes to keep, layers 0..L; at least one each, all outputs."""
    read = [np.flatnonzero(mask.any(0)).tolist() or [0] for mask in live]
    return [*read, list(range(len(live[-1])))]


def edges_at(layer: KANLayer, x: Tensor) -> Floats:
    """Edge functions at one point (1, in), in float64: (out, in)."""
    exact = copy.deepcopy(layer).double()
    with torch.no_grad():
        values: Floats = exact.edges(x.double().to(layer.weight.device))[0].cpu().numpy()
    return values
