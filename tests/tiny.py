"""Heads whose edges are known functions: oracles instead of snapshots."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

import kaninterp as ki

Function = Callable[[Tensor], Tensor]


def zero(x: Tensor) -> Tensor:
    return torch.zeros_like(x)


def known_layer(
    functions: Sequence[Sequence[Function]], *, lo: float = -1.0, hi: float = 1.0, grid: int = 20
) -> ki.KANLayer:
    """A float64 layer with ``functions[dst][src]`` on its edges, fitted by least squares; base branch and bias 0."""
    dst, src = len(functions), len(functions[0])
    layer = ki.KANLayer(
        src, dst, grid=grid, domain=(lo, hi), dtype=torch.float64, noise=0.0, generator=torch.Generator()
    )
    points = torch.linspace(lo, hi, 40 * grid + 1, dtype=torch.float64)
    basis = layer.basis(points[:, None].expand(-1, src))[:, :-1]  # (n, K, src)
    with torch.no_grad():
        layer.weight.zero_()
        for j, row in enumerate(functions):
            for i, function in enumerate(row):
                solution = torch.linalg.lstsq(basis[:, :, i], function(points)[:, None]).solution
                layer.weight[j, :-1, i] = solution[:, 0]
    return layer


def known_head(*layers: ki.KANLayer) -> ki.KANHead:
    """The layers in a row, as a head."""
    widths = [layers[0].in_features, *(layer.out_features for layer in layers)]
    head = ki.KANHead(
        widths[0], widths[-1], widths[1:-1], grid=layers[0].grid, dtype=torch.float64, generator=torch.Generator()
    )
    head.layers = nn.ModuleList(layers)
    return head.eval()


def paper_head() -> ki.KANHead:
    """x0^2 + .3 x1 + .1 x2^3 + 0 x3 on [-1, 1]: the function on which KAN 2.0 prints its scores."""
    return known_head(known_layer([[torch.square, lambda x: 0.3 * x, lambda x: 0.1 * x**3, zero]]))


class TwoPaths(nn.Module):
    """An LSTM whose raw input also goes around it: a column is dropped only if both readers lose it."""

    def __init__(self, width: int = 4, hidden: int = 6) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, hidden, batch_first=True)
        self.skip = nn.Linear(width, hidden)
        self.head = ki.KANHead(hidden, 1, (3,), generator=torch.Generator().manual_seed(0))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.lstm(x)[0][:, -1] + self.skip(x[:, -1])))


def hybrid(
    width: int = 4, hidden: int = 6, nodes: tuple[int, ...] = (3,), outputs: int = 1, seed: int = 0
) -> ki.Hybrid:
    """An untrained LSTM + KANHead whose domains are set, in eval mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = ki.Hybrid(nn.LSTM(width, hidden, batch_first=True), ki.KANHead(hidden, outputs, nodes))
        model.train()
        model(torch.randn(64, 5, width))
    return model.eval()


class Weighted(nn.Module):
    """A weighted sum of the columns of a table, beside a head that counts nothing: its truth is in closed form."""

    def __init__(self, weights: list[float]) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights))
        self.head = ki.KANHead(1, 1, generator=torch.Generator().manual_seed(0))

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.weights)[:, None] + 0 * self.head(x[:, :1]).detach()
