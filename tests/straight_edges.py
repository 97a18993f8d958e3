"""Edges of real heads whose cause of straightness is known, for each cause of `kaninterp.analysis.straightness`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

import kaninterp as ki
from kaninterp.nn.projection import fit_operator

EDGES = 40
"""Edges of a head, all of one kind: inputs that feed one output."""


@dataclass(frozen=True)
class Made:
    """A head, what to feed it, and which of its edges are straight on endless data."""

    head: ki.KANHead
    rows: np.ndarray

    def data(self) -> torch.Tensor:
        return torch.as_tensor(self.rows, dtype=torch.float32)

    def straight(self, sample: np.ndarray) -> np.ndarray:
        """Whether the squared correlation of each edge with its input is .99 or more on a large sample."""
        x = torch.as_tensor(sample, dtype=torch.float64)
        values = self.head.double().kan_layers[0].edges(x)[:, 0].detach().numpy()
        self.head.float()
        return np.array([np.corrcoef(sample[:, i], values[:, i])[0, 1] ** 2 >= 0.99 for i in range(EDGES)])


def made(cause: str, rng: np.random.Generator, rows: int) -> tuple[Made, np.ndarray]:
    """A head of a cause with rows of data, and a large sample from the same source."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    base = "identity" if cause in {"untrained", "shrunk", "mixed"} or rng.uniform() < 0.5 else "silu"
    outside = "base" if rng.uniform() < 0.5 else "clamp"
    half = float(rng.uniform(0.5, 3.0))
    if cause == "drowned" and base == "silu":
        half = 0.2  # silu itself is bent on more
    head = ki.KANHead(
        EDGES, 1, grid=int(rng.choice([5, 8, 12])), domain=(-half, half), base=base, outside=outside,
        generator=generator,
    )  # fmt: skip
    layer, torch_rng = head.kan_layers[0], generator
    width = EDGES**-0.5
    with torch.no_grad():
        layer.base_weight.copy_(torch.randn(layer.base_weight.shape, generator=torch_rng) * width)
        layer.base_weight.copy_(layer.base_weight.sign() * layer.base_weight.abs().clamp_min(0.2 * width))
        SET[cause](layer, rng, base)
    low, high = EXTENT[cause](rng, half)

    def draw(n):
        shape = (n, EDGES)
        return rng.uniform(low, high, shape) if rng.uniform() < 0.5 else low + (high - low) * rng.beta(2, 2, shape)

    return Made(head, draw(rows)), draw(20_000)


def wave(layer, rng):
    """Coefficients (K, 1, in) of smooth bends: sines of one to two periods with random phase, standard deviation 1."""
    lo, hi = layer.domain.double()
    turns, phase = torch.as_tensor(rng.uniform(1, 2, EDGES)), torch.as_tensor(rng.uniform(0, 2 * np.pi, EDGES))
    return coefficients(layer, lambda x: 1.4 * torch.sin(2 * torch.pi * turns * (x - lo) / (hi - lo) + phase))


def coefficients(layer, function):
    """Least-squares coefficients of a function of x (points, in)."""
    points, operator = fit_operator(layer.knots, layer.order)
    return torch.einsum("imq,qi->mi", operator, function(points)).unsqueeze(1).float()


def learnt(layer, rng, base):
    layer.coef.copy_(wave(layer, rng) * layer.base_weight.abs() * torch.as_tensor(rng.uniform(0.3, 3, EDGES)).float())


def drowned(layer, rng, base):
    """A spline as large as others, and a base branch 12 to 100 times as large."""
    lo, hi = layer.domain
    size = layer.start[1] * torch.as_tensor(rng.uniform(0.3, 3, EDGES)).float()
    layer.coef.copy_(wave(layer, rng) * size)
    of_base = (1.0 if base == "identity" else 0.5) * (hi - lo) / 12**0.5
    layer.base_weight.copy_(layer.base_weight.sign() * size / of_base * torch.as_tensor(rng.uniform(12, 100, EDGES)))


def untrained(layer, rng, base):
    layer.base_weight.mul_(3)


def shrunk(layer, rng, base):
    layer.coef.mul_(torch.as_tensor(10 ** rng.uniform(-4, -1, EDGES)).float())


def linear(layer, rng, base):
    """A line by spline and base together, and a hundredth of noise."""
    slope = layer.base_weight * torch.as_tensor(rng.choice([-2.0, -1.0, 2.0, 3.0], EDGES)).float()
    weight = layer.base_weight.double()

    def rest(x):
        return slope.double() * x - weight * (x if base == "identity" else torch.nn.functional.silu(x))

    noise = torch.as_tensor(rng.normal(size=tuple(layer.coef.shape))).float()
    lo, hi = layer.domain
    layer.coef.copy_(coefficients(layer, rest) + 0.01 * slope.abs() * (hi - lo) * noise)


SET = {
    "": learnt, "out-of-domain": learnt, "mixed": drowned, "under-used": learnt,
    "drowned": drowned, "untrained": untrained, "shrunk": shrunk, "linear": linear,
}  # fmt: skip


def sliver(rng, half):
    middle, width = rng.uniform(-0.8, 0.8, EDGES) * half, rng.uniform(0.01, 0.06, EDGES) * half
    return middle - width, middle + width


def beyond(rng, half):
    """Right of the domain, in the fringe and far beyond it."""
    low = half * rng.uniform(0.9, 3, EDGES)
    return low, low + half * rng.uniform(0.7, 2, EDGES)


def around(rng, half):
    """A tenth to a fifth of the rows beyond one end."""
    wide = half * rng.uniform(2.4, 2.8, EDGES)
    return half - wide * 0.8, half - wide * 0.8 + wide


EXTENT = {
    "": lambda rng, half: (np.full(EDGES, -half), np.full(EDGES, half)),
    "out-of-domain": beyond,
    "mixed": around,
    "under-used": sliver,
    **dict.fromkeys(
        ("drowned", "untrained", "shrunk", "linear"),
        lambda rng, half: (np.full(EDGES, -half) * rng.uniform(0.7, 1, EDGES), np.full(EDGES, half)),
    ),
}
