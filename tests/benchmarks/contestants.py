"""One layer of every family on the same (in, out), grid 5 and order 3 where the family has such options."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kaninterp.nn.layer import KANLayer

GRID, ORDER = 5, 3
PYKAN_LIMIT = 2**22
"""pykan keeps arrays of (batch, out, in); beyond this many values one of its steps takes longer than all others."""


class DenseDeBoor(nn.Module):
    """The published algorithm of efficient-kan (not on PyPI), written anew: dense recursion, two products."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.base = nn.Parameter(torch.randn(n_out, n_in) / n_in**0.5)
        self.spline = nn.Parameter(torch.randn(n_out, n_in, GRID + ORDER) * 0.1)
        self.scale = nn.Parameter(torch.ones(n_out, n_in))
        step = torch.arange(-ORDER, GRID + ORDER + 1) * (2 / GRID) - 1
        self.register_buffer("knots", step.expand(n_in, -1).contiguous())

    def forward(self, x: Tensor) -> Tensor:
        t, z = self.knots, x.unsqueeze(-1)
        b = ((z >= t[:, :-1]) & (z < t[:, 1:])).to(x.dtype)
        for k in range(1, ORDER + 1):
            left = (z - t[:, : -k - 1]) / (t[:, k:-1] - t[:, : -k - 1]) * b[..., :-1]
            b = left + (t[:, k + 1 :] - z) / (t[:, k + 1 :] - t[:, 1:-k]) * b[..., 1:]
        scaled = self.spline * self.scale.unsqueeze(-1)
        return F.linear(F.silu(x), self.base) + F.linear(b.flatten(1), scaled.flatten(1))


def ours(n_in: int, n_out: int, batch: int) -> nn.Module:
    return KANLayer(n_in, n_out, grid=GRID, order=ORDER)


def ours_compiled(n_in: int, n_out: int, batch: int) -> nn.Module:
    return torch.compile(ours(n_in, n_out, batch), fullgraph=True)


def efficient_kan(n_in: int, n_out: int, batch: int) -> nn.Module:
    return DenseDeBoor(n_in, n_out)


def inkan(n_in: int, n_out: int, batch: int) -> nn.Module:
    from inkan import KANLayer as Peer

    return Peer(n_in, n_out, grid_size=GRID, spline_order=ORDER)  # compiles its basis by itself


def inkan_compiled(n_in: int, n_out: int, batch: int) -> nn.Module:
    from inkan import KANLayer as Peer

    return torch.compile(Peer(n_in, n_out, grid_size=GRID, spline_order=ORDER, compile_basis=False))


def flashkan(n_in: int, n_out: int, batch: int) -> nn.Module:
    from flashkan import KANLayer as Peer

    return Peer(n_in, n_out, grid_size=GRID, spline_order=ORDER)


def flashkan_compiled(n_in: int, n_out: int, batch: int) -> nn.Module:
    return torch.compile(flashkan(n_in, n_out, batch))


def kanditioned(n_in: int, n_out: int, batch: int) -> nn.Module:
    from KANditioned.kan_layer import KANLayer as Peer  # order 1 only; as many parameters as ours

    return Peer(n_in, n_out, init="random_normal", num_control_points=GRID + ORDER, impl="embedding_bag")


def pykan(n_in: int, n_out: int, batch: int) -> nn.Module:
    if batch * n_in * n_out > PYKAN_LIMIT:
        raise MemoryError("too large for it")
    from kan import MultKAN as Peer

    with torch.random.fork_rng():
        return Peer([n_in, n_out], grid=GRID, k=ORDER, auto_save=False)


CONTESTANTS: dict[str, Callable[[int, int, int], nn.Module]] = {
    "ours": ours,
    "ours, compiled": ours_compiled,
    "inkan": inkan,
    "inkan, compiled": inkan_compiled,
    "flashkan": flashkan,
    "flashkan, compiled": flashkan_compiled,
    "kanditioned (order 1)": kanditioned,
    "efficient-kan's algorithm": efficient_kan,
    "pykan": pykan,
}


def build(n_in: int, n_out: int, batch: int) -> tuple[dict[str, nn.Module], dict[str, str]]:
    """Contestants that can take part, and for each other one the reason."""
    found, missing = {}, {}
    for name, make in CONTESTANTS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what peers warn about on import is not ours
            try:
                found[name] = make(n_in, n_out, batch)
            except ImportError as error:
                missing[name] = f"cannot be imported: {error}"
            except MemoryError as error:
                missing[name] = str(error)
    return found, missing
