"""Edges of a layer that are formulas ``c f(a x + b) + d`` with trainable numbers, in place of splines."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from kaninterp.core.edge_formula import EdgeFormula
from kaninterp.core.errors import InputError
from kaninterp.core.families import FAMILIES, Family
from kaninterp.nn.native import on_tensors

__all__ = ["NUMBERS", "SymbolicEdges"]

NUMBERS = (1.0, 0.0, 1.0, 0.0)
"""a, b, c, d of a formula that is f itself."""
_HALF = (torch.float16, torch.bfloat16)


class SymbolicEdges(nn.Module):
    """Formulas on some edges of one layer; `KANLayer` adds them to its splines.

    Parameters
    ----------
    families : sequence of Family
        f of each formula.
    pairs : sequence of (int, int)
        The edge (dst, src) of each, none twice.
    out_features : int
        Width of the layer's output.
    numbers : Tensor, shape (E, 4), optional
        a, b, c and d of each formula; None: 1, 0, 1, 0.
    device, dtype
        As for every torch module.

    Attributes
    ----------
    families : tuple of Family
        In the order of `pairs`: by name, then by edge.
    pairs : Tensor, shape (E, 2), int64
        dst and src of each formula.
    numbers : Parameter, shape (E, 4)
        a, b, c, d.

    Raises
    ------
    InputError
        Two formulas for one edge, none at all, or two different families of one name (a file knows them by name).

    Notes
    -----
    Where training carries ``a x + b`` out of the domain of f, the edge is constant: see `kaninterp.nn.native`. Half
    precision is computed in float32. Penalties on edges do not count formulas: they were chosen, not found. Sparsity of
    raw columns counts c among a column's weights, so that a column it gives up is not read by a formula either.

    Examples
    --------
    >>> edges = SymbolicEdges([FAMILIES["x^2"], FAMILIES["sin"]], [(0, 0), (1, 0)], out_features=2)
    >>> edges(torch.tensor([[3.0]])).detach()
    tensor([[9.0000, 0.1411]])
    """

    pairs: Tensor

    def __init__(
        self,
        families: Sequence[Family],
        pairs: Sequence[tuple[int, int]],
        *,
        out_features: int,
        numbers: Tensor | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        _check(families, pairs)
        order = sorted(range(len(pairs)), key=lambda e: (families[e].name, *pairs[e]))
        self.families = tuple(families[e] for e in order)
        self.out_features = out_features
        self._groups = [len(list(group)) for _, group in groupby(self.families, key=lambda family: family.name)]
        self.register_buffer("pairs", torch.tensor([pairs[e] for e in order], dtype=torch.long, device=device))
        values = torch.tensor([NUMBERS]).repeat(len(order), 1) if numbers is None else numbers.detach()[order]
        self.numbers = nn.Parameter(values.to(device=device, dtype=dtype or torch.get_default_dtype()).clone())

    def edges(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Evaluate every formula.

        Parameters
        ----------
        x : Tensor, shape (n, src)
            Of any floating dtype; float64 points give float64 values.
        mask : Tensor, shape (dst, src), optional
            Of the layer; a formula on a masked edge gives 0.

        Returns
        -------
        Tensor, shape (n, E)
        """
        kind = torch.float32 if x.dtype in _HALF else x.dtype
        a, b, c, d = self.numbers.to(kind).unbind(1)
        u = x.index_select(1, self.pairs[:, 1]).to(kind) * a + b
        firsts = [sum(self._groups[:g]) for g in range(len(self._groups))]
        parts = zip(firsts, torch.split(u, self._groups, dim=1), strict=True)
        values = torch.cat([on_tensors(self.families[first])(part) for first, part in parts], 1) * c + d
        return values if mask is None else torch.where(self.alive(mask), values, torch.zeros_like(values))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Sum the formulas of every node: (n, src) -> (n, dst); arguments as for `edges`."""
        values = self.edges(x, mask)
        nodes = torch.arange(self.out_features, device=self.pairs.device)
        result: Tensor = values @ (self.pairs[:, :1] == nodes).to(values.dtype)
        return result

    def put(self, values: Tensor, x: Tensor, mask: Tensor) -> Tensor:
        """Put the formulas at ``x`` (n, src) into the values of all edges, (n, dst, src)."""
        found = self.edges(x, mask).to(values.dtype)
        return values.flatten(1).index_copy(1, self._places(values.shape[2]), found).view(values.shape)

    def spread(self, values: Tensor, mask: Tensor) -> Tensor:
        """One number per formula (E,), into an array (dst, src) of the layer; 0 elsewhere and on masked edges."""
        flat = torch.zeros_like(mask).flatten().index_copy(0, self._places(mask.shape[1]), values.to(mask.dtype))
        return flat.view(mask.shape) * (mask != 0)

    def without(self, mask: Tensor) -> Tensor:
        """Make the mask (dst, src) of the edges that are splines: 0 where a formula is."""
        return mask.flatten().index_fill(0, self._places(mask.shape[1]), 0.0).view(mask.shape)

    def alive(self, mask: Tensor) -> Tensor:
        """Which formulas are on edges that the mask (dst, src) of the layer keeps, (E,)."""
        return mask.flatten().index_select(0, self._places(mask.shape[1])) != 0

    def named(self) -> tuple[tuple[int, int, Family], ...]:
        """List dst, src and family of each formula."""
        edges = zip(self.pairs.tolist(), self.families, strict=True)
        return tuple((dst, src, family) for (dst, src), family in edges)

    def formulas(self) -> dict[tuple[int, int], EdgeFormula]:
        """Each formula with its numbers of now, by (dst, src)."""
        numbers = self.numbers.detach().double().tolist()
        return {
            (dst, src): EdgeFormula(family=family, a=a, b=b, c=c, d=d)
            for (dst, src, family), (a, b, c, d) in zip(self.named(), numbers, strict=True)
        }

    def cut(
        self, mask: Tensor, rows: Collection[int] | None = None, columns: Collection[int] | None = None
    ) -> SymbolicEdges | None:
        """Copy the formulas that are left; None if there are none.

        Parameters
        ----------
        mask : Tensor, shape (dst, src)
            Formulas on edges that it does not keep go.
        rows, columns : collection of int, optional
            Outputs and inputs that are left, in their new order; None: all of them.

        Returns
        -------
        SymbolicEdges or None
        """
        row = {old: new for new, old in enumerate(range(mask.shape[0]) if rows is None else rows)}
        column = {old: new for new, old in enumerate(range(mask.shape[1]) if columns is None else columns)}
        kept = [
            e
            for e, ((dst, src), alive) in enumerate(zip(self.pairs.tolist(), self.alive(mask).tolist(), strict=True))
            if alive and dst in row and src in column
        ]
        if not kept:
            return None
        new = type(self)(
            [self.families[e] for e in kept], [(row[self._dst(e)], column[self._src(e)]) for e in kept],
            out_features=len(row), numbers=self.numbers[kept], device=self.numbers.device, dtype=self.numbers.dtype,
        )  # fmt: skip
        new.numbers.requires_grad_(self.numbers.requires_grad)
        return new.train(self.training)

    def joined(self, other: SymbolicEdges) -> SymbolicEdges:
        """Copy with the formulas of another of the same layer beside them; no edge may have one in both."""
        new = type(self)(
            [*self.families, *other.families], [*map(tuple, self.pairs.tolist()), *map(tuple, other.pairs.tolist())],
            out_features=self.out_features, numbers=torch.cat((self.numbers, other.numbers.to(self.numbers))),
            device=self.numbers.device, dtype=self.numbers.dtype,
        )  # fmt: skip
        return new.train(self.training)

    def extra_repr(self) -> str:
        """Families and how many edges have each."""
        names = [family.name for family in self.families]
        return ", ".join(f"{name}: {names.count(name)}" for name in dict.fromkeys(names))

    def _dst(self, e: int) -> int:
        return int(self.pairs[e, 0])

    def _src(self, e: int) -> int:
        return int(self.pairs[e, 1])

    def _places(self, width: int) -> Tensor:
        return self.pairs[:, 0] * width + self.pairs[:, 1]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        errors: list[str] = args[-1]
        saved = state_dict.get(prefix + "pairs")
        if saved is not None and saved.tolist() != self.pairs.tolist():
            errors.append(
                f"{prefix}pairs: the saved layer has formulas on edges (dst, src) {saved.tolist()[:5]}, this one on "
                f"{self.pairs.tolist()[:5]}; build this head with KANHead(**config) of the saved one"
            )
            return
        super()._load_from_state_dict(state_dict, prefix, *args)


def _check(families: Sequence[Family], pairs: Sequence[tuple[int, int]]) -> None:
    if not pairs or len(families) != len(pairs) or len(set(pairs)) < len(pairs):
        raise InputError(
            f"formulas: {len(families)} families for edges (dst, src) {list(pairs)[:5]}; give one family per edge, "
            "each edge once, at least one"
        )
    known: dict[str, Family] = {}
    for family in families:
        if known.setdefault(family.name, FAMILIES.get(family.name, family)) is not family:
            raise InputError(
                f"formulas: there are two different families of the name {family.name!r}; a saved head knows them by "
                "name. Give yours another one"
            )
