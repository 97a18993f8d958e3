"""efficient-kan's layer, written anew from its formula: base_weight act(x) + sum_m scaler spline_weight_m B_m(x).

Names of attributes and the layout of tensors are those of the published layer (Blealtan/efficient-kan), which is not on
PyPI; the arithmetic is our own.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn


def b_splines(x, grid, order):
    """Cox-de Boor on (in, G + 1 + 2k) knots: (n, in, G + k)."""
    x = x.unsqueeze(-1)
    basis = torch.logical_and(x >= grid[:, :-1], x < grid[:, 1:]).to(x.dtype)
    for k in range(1, order + 1):
        left = (x - grid[:, : -k - 1]) / (grid[:, k:-1] - grid[:, : -k - 1])
        right = (grid[:, k + 1 :] - x) / (grid[:, k + 1 :] - grid[:, 1:-k])
        basis = left * basis[..., :-1] + right * basis[..., 1:]
    return basis


class KANLinear(nn.Module):
    def __init__(self, in_features, out_features, grid_size=5, spline_order=3, scaled=True, grid_range=(-1.0, 1.0)):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.grid_size, self.spline_order = grid_size, spline_order
        h = (grid_range[1] - grid_range[0]) / grid_size
        grid = torch.arange(-spline_order, grid_size + spline_order + 1) * h + grid_range[0]
        self.register_buffer("grid", grid.expand(in_features, -1).contiguous())
        self.base_weight = nn.Parameter(torch.randn(out_features, in_features) * 0.3)
        self.spline_weight = nn.Parameter(torch.randn(out_features, in_features, grid_size + spline_order) * 0.3)
        if scaled:
            self.spline_scaler = nn.Parameter(torch.rand(out_features, in_features) + 0.5)
        self.base_activation = nn.SiLU()

    @property
    def scaled_spline_weight(self):
        scaler = getattr(self, "spline_scaler", None)
        return self.spline_weight if scaler is None else self.spline_weight * scaler.unsqueeze(-1)

    def forward(self, x):
        shape, x = x.shape, x.reshape(-1, self.in_features)
        base = nn.functional.linear(self.base_activation(x), self.base_weight)
        basis = b_splines(x, self.grid, self.spline_order)
        spline = nn.functional.linear(basis.flatten(1), self.scaled_spline_weight.flatten(1))
        return (base + spline).reshape(*shape[:-1], self.out_features)


class KAN(nn.Module):
    def __init__(self, layers_hidden, **options):
        super().__init__()
        pairs = pairwise(layers_hidden)
        self.layers = nn.ModuleList(KANLinear(*pair, **options) for pair in pairs)

    def forward(self, x, update_grid=False):
        for layer in self.layers:
            x = layer(x)
        return x
