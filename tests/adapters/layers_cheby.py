"""ChebyKAN's layer, written anew from its formula: sum_d c_iod T_d(tanh(x_i)), with T_d(u) = cos(d arccos u).

Names of attributes and the layout of the coefficients are those of the published layer (SynodicMonth/ChebyKAN), which
is not on PyPI.
"""

from __future__ import annotations

import torch
from torch import nn


class ChebyKANLayer(nn.Module):
    def __init__(self, input_dim, output_dim, degree):
        super().__init__()
        self.inputdim, self.outdim, self.degree = input_dim, output_dim, degree
        self.cheby_coeffs = nn.Parameter(torch.randn(input_dim, output_dim, degree + 1) / (input_dim * (degree + 1)))
        self.register_buffer("arange", torch.arange(0, degree + 1))

    def forward(self, x):
        u = torch.tanh(x.reshape(-1, self.inputdim, 1))
        polynomials = torch.cos(self.arange * torch.acos(u))
        return torch.einsum("bid,iod->bo", polynomials, self.cheby_coeffs)
