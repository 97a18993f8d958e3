"""Effects carried down a KAN without steps: a layer is a sum of functions of one variable, so secants are exact.

The rescale rule of DeepLIFT (Shrikumar, Greenside & Kundaje 2017, arXiv 1704.02685), which a KAN needs no other rule
for. In a single layer the effects are Shapley values: nothing interacts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kaninterp.adapters import LayerView, ModelView

__all__ = ["carried_down"]

NEAR = 1e-3
"""Steps below this part of a domain's width get the slope at their end: a secant would be rounding noise."""

CHUNK_VALUES = 2**22
"""Edge values held at once (16 MB in float32)."""


@torch.no_grad()
def carried_down(view: ModelView, x: Tensor, base: Tensor, effects: Tensor) -> Tensor:
    """Carry the effect of a unit of each output down to a unit of each input of the KAN.

    Parameters
    ----------
    view : ModelView
        The KAN.
    x, base : Tensor, shape (n, src)
        Rows of layer 0, and what they are held against.
    effects : Tensor, shape (n, out)
        What a unit of each of the KAN's outputs does.

    Returns
    -------
    Tensor, shape (n, src)
        Slopes m with ``(m * (x - base)).sum(1) == (effects * (kan(x) - kan(base))).sum(1)`` up to rounding.

    Examples
    --------
    >>> import kaninterp as ki
    >>> from kaninterp.adapters import as_view
    >>> kan = ki.KANHead(3, 1, (4,), domain=(-2, 2), noise=1.0, generator=torch.Generator().manual_seed(0)).eval()
    >>> x, base = torch.linspace(-2, 2, 30).view(10, 3), torch.zeros(10, 3)
    >>> slopes = carried_down(as_view(kan), x, base, torch.ones(10, 1))
    >>> torch.allclose((slopes * (x - base)).sum(1), (kan(x) - kan(base))[:, 0], atol=1e-4)
    True
    """
    steps = list(zip(view.layers, view.activations(x), view.activations(base), strict=False))
    for layer, after, before in reversed(steps):
        size = max(1, CHUNK_VALUES // max(1, layer.dst * layer.src))
        parts = [
            torch.einsum("nj,nji->ni", effects[rows], _slopes(layer, after[rows], before[rows]))
            for rows in (slice(start, start + size) for start in range(0, len(after), size))
        ]
        effects = torch.cat(parts) if parts else after.new_zeros(after.shape)
    return effects


def _slopes(layer: LayerView, after: Tensor, before: Tensor) -> Tensor:
    """Slope of every edge between two points, (n, dst, src)."""
    width = torch.as_tensor(layer.knots[:, -1] - layer.knots[:, 0], dtype=after.dtype, device=after.device)
    near, step = NEAR * width, after - before
    small = (step.abs() < near).unsqueeze(1)
    slope = (layer.edges(after) - layer.edges(before)) / torch.where(small[:, 0], near, step).unsqueeze(1)
    if not bool(small.any()):
        return slope
    local = (layer.edges(after + near) - layer.edges(after - near)) / (2 * near)
    return torch.where(small, local, slope)
