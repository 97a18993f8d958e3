"""fast-kan's layer, written anew from its formula: sum_k w_k exp(-((x - c_k) / h)^2) + base_linear(act(x)).

Names of attributes are those of the published layer (ZiyaoLi/fast-kan), which is not on PyPI.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn


class RadialBasisFunction(nn.Module):
    def __init__(self, grid_min=-2.0, grid_max=2.0, num_grids=8):
        super().__init__()
        self.grid = nn.Parameter(torch.linspace(grid_min, grid_max, num_grids), requires_grad=False)
        self.denominator = (grid_max - grid_min) / (num_grids - 1)

    def forward(self, x):
        return torch.exp(-(((x.unsqueeze(-1) - self.grid) / self.denominator) ** 2))


class FastKANLayer(nn.Module):
    def __init__(self, input_dim, output_dim, use_layernorm=True, use_base_update=True, num_grids=8):
        super().__init__()
        self.layernorm = nn.LayerNorm(input_dim) if use_layernorm else None
        self.rbf = RadialBasisFunction(num_grids=num_grids)
        self.spline_linear = nn.Linear(input_dim * num_grids, output_dim, bias=False)
        self.use_base_update = use_base_update
        if use_base_update:
            self.base_activation = nn.functional.silu
            self.base_linear = nn.Linear(input_dim, output_dim)

    def forward(self, x):
        y = self.spline_linear(self.rbf(x if self.layernorm is None else self.layernorm(x)).flatten(-2))
        return y + self.base_linear(self.base_activation(x)) if self.use_base_update else y


class FastKAN(nn.Module):
    def __init__(self, layers_hidden, **options):
        super().__init__()
        pairs = pairwise(layers_hidden)
        self.layers = nn.ModuleList(FastKANLayer(*pair, **options) for pair in pairs)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x
