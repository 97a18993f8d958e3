"""Sparsity and smoothness of a layer from its coefficients alone; no row of data takes part.

The strength of an edge is the standard deviation of its function under the uniform measure on its domain. With the
centred Gram matrix ``G`` of the basis of input i it is ``sqrt(c' G c)``, a norm of the coefficients: the functional
group lasso of sparse additive models (Ravikumar et al. 2009; Meier et al. 2009). A step costs ``O(in K^2 out)``
whatever the batch. The entropy term is the one of the KAN paper (arXiv 2404.19756, eq. 2.20), on these strengths.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kaninterp.nn.domain import greville
from kaninterp.nn.layer import KANLayer

__all__ = [
    "coefficient_penalty",
    "edge_roughness",
    "edge_strengths",
    "layer_penalty",
    "node_strengths",
    "strength_entropy",
]


def edge_strengths(layer: KANLayer) -> Tensor:
    """Strengths of all edges: standard deviations of the edge functions, uniform measure on the domain.

    Parameters
    ----------
    layer : KANLayer
        Any layer.

    Returns
    -------
    Tensor, shape (out, in)
        At least 0; exactly 0, with gradient 0, for masked edges and edges with zero coefficients.

    Examples
    --------
    The base branch ``x`` alone, on [-1, 1]: the standard deviation of a uniform variable, 1 / sqrt(3).

    >>> from kaninterp.nn.layer import KANLayer
    >>> layer = KANLayer(1, 1, base="identity", noise=0.0)
    >>> _ = layer.weight.data[:, -1].fill_(1.0)
    >>> round(edge_strengths(layer).item(), 4)
    0.5774
    """
    projected = torch.einsum("omi,imr->oir", layer.masked_weight(), layer.gram_root())
    # a norm rather than the root of a quadratic form: never below 0, and torch gives it the gradient 0 at 0
    strengths: Tensor = torch.linalg.vector_norm(projected, dim=-1)
    return strengths


def node_strengths(strengths: Tensor) -> tuple[Tensor, Tensor]:
    """Group norms per node: of all edges out of an input, and of all edges into an output.

    Parameters
    ----------
    strengths : Tensor, shape (out, in)
        See `edge_strengths`.

    Returns
    -------
    src : Tensor, shape (in,)
        Zero exactly where no edge leaves the input.
    dst : Tensor, shape (out,)
        Zero exactly where no edge enters the output.

    Examples
    --------
    >>> import torch
    >>> node_strengths(torch.tensor([[3.0, 0.0], [4.0, 0.0]]))
    (tensor([5., 0.]), tensor([3., 4.]))
    """
    return torch.linalg.vector_norm(strengths, dim=0), torch.linalg.vector_norm(strengths, dim=1)


def strength_entropy(strengths: Tensor) -> Tensor:
    """Entropy of the strengths' shares of their sum: low when few edges carry the layer.

    Parameters
    ----------
    strengths : Tensor, any shape
        Non-negative.

    Returns
    -------
    Tensor, shape ()
        Between 0 (one edge, or none) and the logarithm of the number of edges.

    Examples
    --------
    >>> import torch
    >>> strength_entropy(torch.tensor([[1.0, 1.0], [0.0, 0.0]])).exp()
    tensor(2.)
    """
    total = strengths.sum()
    share = strengths / torch.where(total > 0, total, torch.ones_like(total))
    # the clamp keeps the gradient finite at a share of 0, where that of p log p is not
    return -(share * share.clamp(min=torch.finfo(share.dtype).tiny).log()).sum()


def edge_roughness(layer: KANLayer) -> Tensor:
    """Roughness of all edges: sums of squared second differences of the spline coefficients (P-splines).

    Non-uniform knots weigh the differences by the Greville points of the coefficients, so that a straight line has
    roughness 0 on any knots (Eilers and Marx 1996, generalised).

    Parameters
    ----------
    layer : KANLayer
        Any layer.

    Returns
    -------
    Tensor, shape (out, in)
        In squared units of the output; does not depend on the unit of the input.

    Examples
    --------
    >>> from kaninterp.nn.layer import KANLayer
    >>> layer = KANLayer(1, 1, grid=2, order=1)
    >>> _ = layer.coef.data.copy_(torch.tensor([0.0, 1.0, 0.0]).view(3, 1, 1))
    >>> edge_roughness(layer).item()
    4.0
    """
    spline = layer.masked_weight()[:, :-1]
    if layer.spec.size < 3:
        return spline.new_zeros(layer.out_features, layer.in_features)
    difference = spline.diff(dim=1)
    if not layer.spec.uniform:
        gaps = greville(layer.knots, layer.order).diff(dim=1)
        difference = difference * (gaps.mean(dim=1, keepdim=True) / gaps).t()
    return difference.diff(dim=1).square().sum(dim=1)


def coefficient_penalty(layer: KANLayer, *, size: float = 1.0, step: float = 0.0) -> Tensor:
    """Absolute spline coefficients and absolute differences of neighbours, summed, per output (a lasso, not grouped).

    The terms that pykan weighs by ``lamb_coef`` and ``lamb_coefdiff``. They shrink coefficients, constant parts of
    functions included, where `edge_strengths` shrinks whole functions.

    Parameters
    ----------
    layer : KANLayer
        Any layer.
    size, step : float
        Weights of the coefficients and of their differences.

    Returns
    -------
    Tensor, shape ()
        Masked edges and formulas do not count.

    Examples
    --------
    >>> from kaninterp.nn.layer import KANLayer
    >>> layer = KANLayer(1, 1, grid=2, order=1)
    >>> _ = layer.coef.data.copy_(torch.tensor([0.0, 1.0, -1.0]).view(3, 1, 1))
    >>> coefficient_penalty(layer, size=1.0, step=10.0).item()
    32.0
    """
    spline = layer.masked_weight()[:, :-1]
    total = size * spline.abs().sum()
    if step:
        total = total + step * spline.diff(dim=1).abs().sum()
    return total / layer.out_features


def layer_penalty(
    layer: KANLayer,
    *,
    edge: float = 1.0,
    entropy: float = 1.0,
    smooth: float = 0.0,
    src: float = 0.0,
    dst: float = 0.0,
) -> Tensor:
    """Weigh the sparsity and smoothness terms of one layer into a scalar.

    Parameters
    ----------
    layer : KANLayer
        Any layer.
    edge : float
        Weight of the sum of the edge strengths.
    entropy : float
        Weight of `strength_entropy`.
    smooth : float
        Weight of the sum of `edge_roughness`.
    src, dst : float
        Weights of the sums of the node norms, see `node_strengths`: they make whole inputs or outputs zero.

    Returns
    -------
    Tensor, shape ()
        Differentiable in the weights everywhere, also at zero edges. Masked edges do not count.

    Examples
    --------
    >>> from kaninterp.nn.layer import KANLayer
    >>> layer = KANLayer(3, 2)
    >>> bool(layer_penalty(layer) > 0)
    True
    """
    strengths = edge_strengths(layer)
    total = edge * strengths.sum()
    if entropy:
        total = total + entropy * strength_entropy(strengths)
    if src or dst:
        per_src, per_dst = node_strengths(strengths)
        total = total + src * per_src.sum() + dst * per_dst.sum()
    if smooth:
        total = total + smooth * edge_roughness(layer).sum()
    return total
