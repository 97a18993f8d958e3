"""Traces of networks whose edges are KNOWN functions, made in plain numpy: oracles for everything above a trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from kaninterp.core import EdgeTable, LayerTrace, ModelCard, NodeTable, PartTable, RangeTable, RawTable, Trace

Function = Callable[[np.ndarray], np.ndarray]

# the trapezoid on 81 points over domain and fringe is exact to about 1e-3
ORDER, GRID, POINTS = 3, 5, 81


def zero(x):
    return np.zeros_like(x)


@dataclass(frozen=True)
class Net:
    """Functions [layer][dst][src], biases and masks per layer; domains are those of the data unless given."""

    functions: tuple[tuple[tuple[Function, ...], ...], ...]
    biases: tuple[np.ndarray, ...]
    alive: tuple[np.ndarray, ...]
    domains: tuple[np.ndarray | None, ...]  # (src, 2) per layer
    bases: tuple[tuple[tuple[Function, ...], ...], ...] | None = None  # the part of each edge that is not its spline

    @classmethod
    def of(cls, functions, *, alive=None, biases=None, domains=None, bases=None) -> Net:
        shapes = [(len(layer), len(layer[0])) for layer in functions]
        return cls(
            functions=tuple(tuple(tuple(row) for row in layer) for layer in functions),
            biases=tuple(biases or [np.zeros(dst) for dst, _ in shapes]),
            alive=tuple(alive or [np.ones(shape, bool) for shape in shapes]),
            domains=tuple(domains or [None] * len(shapes)),
            bases=None if bases is None else tuple(tuple(tuple(row) for row in layer) for layer in bases),
        )

    @property
    def widths(self) -> tuple[int, ...]:
        return (len(self.functions[0][0]), *(len(layer) for layer in self.functions))

    def edges(self, layer: int, h: np.ndarray) -> np.ndarray:
        """Outputs of the edges of one layer, (rows, dst, src)."""
        rows = [np.stack([f(h[:, i]) for i, f in enumerate(row)], axis=1) for row in self.functions[layer]]
        return np.stack(rows, axis=1) * self.alive[layer]

    def nodes(self, x: np.ndarray, cut: Sequence[np.ndarray] | None = None, constants=None) -> list[np.ndarray]:
        """Values of all nodes, layer by layer; edges outside ``cut`` are replaced by ``constants``."""
        values = [x]
        for l in range(len(self.functions)):  # noqa: E741
            phi = self.edges(l, values[-1])
            if cut is not None:
                phi = np.where(cut[l], phi, constants[l])
            values.append(phi.sum(2) + self.biases[l])
        return values

    def trace(self, x, *, raw=None, raw_names=None, lags=1, path=None, output_names=None, node_ids=None) -> Trace:
        """Trace over rows ``x`` (head inputs). ``raw``: rows of raw columns of a hybrid; None makes a plain KAN."""
        x = np.asarray(x, dtype=float)
        values = self.nodes(x)
        layers = tuple(self._layer(l, values[l], values[l + 1]) for l in range(len(self.functions)))  # noqa: E741
        hybrid = raw is not None
        columns = np.asarray(raw, dtype=float) if hybrid else x
        names = tuple(raw_names or (f"x{i}" for i in range(columns.shape[1])))
        card = ModelCard(
            model="Hybrid" if hybrid else "KANHead",
            head="KANHead",
            path=path if path is not None else ("head" if hybrid else ""),
            fingerprint="f" * 64,
            parameters=1000,
            head_parameters=500,
            widths=self.widths,
            node_ids=node_ids or tuple(tuple(range(n)) for n in self.widths),
        )
        return Trace(
            layers=layers,
            outputs=NodeTable.of(values[-1]),
            raw=raw_table(columns, names, lags),
            output_names=tuple(output_names or (f"y{i}" for i in range(self.widths[-1]))),
            card=card,
            data=f"array {columns.shape[0]} x {columns.shape[1]}",
            data_fingerprints=("d" * 64,),
        )

    def _layer(self, layer: int, h: np.ndarray, y: np.ndarray) -> LayerTrace:
        phi = self.edges(layer, h)
        domain = self.domains[layer]
        domain = spread_domain(h) if domain is None else np.asarray(domain, dtype=float)
        width = (domain[:, 1] - domain[:, 0])[:, None]
        curve_x = domain[:, :1] + width * np.linspace(-ORDER / GRID, 1 + ORDER / GRID, POINTS)
        curves = np.stack(
            [[f(curve_x[i]) * on for i, (f, on) in enumerate(zip(row, live, strict=True))]
             for row, live in zip(self.functions[layer], self.alive[layer], strict=True)]
        )  # fmt: skip
        centred, out, into = phi - phi.mean(0), y - y.mean(0), h - h.mean(0)
        return LayerTrace(
            inputs=NodeTable.of(h),
            ranges=range_table(h, domain),
            edges=EdgeTable(
                count=len(h),
                mean=phi.mean(0),
                m2=(centred**2).sum(0),
                with_output=(centred * out[:, :, None]).sum(0),
                with_input=(centred * into[:, None, :]).sum(0),
                alive=self.alive[layer],
                bias=self.biases[layer],
                curve_x=curve_x,
                curves=curves,
                base_curves=np.zeros_like(curves),
            ),
            parts=self._parts(layer, h, centred, into),
        )

    def _parts(self, layer: int, h: np.ndarray, centred: np.ndarray, into: np.ndarray) -> PartTable:
        base = np.zeros_like(centred)
        if self.bases is not None:
            rows = [np.stack([f(h[:, i]) for i, f in enumerate(row)], axis=1) for row in self.bases[layer]]
            base = np.stack(rows, axis=1) * self.alive[layer]
        moved = base - base.mean(0)
        return PartTable(
            mean=base.mean(0),
            m2=(moved**2).sum(0),
            with_edge=(moved * centred).sum(0),
            with_input=(moved * into[:, None, :]).sum(0),
            start=np.zeros(base.shape[1:]),
            untouched=np.zeros(base.shape[1:], bool),
        )

    def relabelled(self, orders: Sequence[np.ndarray]) -> Net:
        """The same network with the nodes of each layer 0..L in another order."""
        return Net(
            functions=tuple(
                tuple(tuple(layer[j][i] for i in src) for j in dst)
                for layer, (src, dst) in zip(self.functions, pairwise(orders), strict=True)
            ),
            biases=tuple(b[dst] for b, dst in zip(self.biases, orders[1:], strict=True)),
            alive=tuple(a[np.ix_(dst, src)] for a, (src, dst) in zip(self.alive, pairwise(orders), strict=True)),
            domains=tuple(d if d is None else d[src] for d, src in zip(self.domains, orders, strict=False)),
        )

    def rescaled_input(self, column: int, scale: float, shift: float) -> Net:
        """The network that reads ``scale * x + shift`` in that column and computes the same."""

        def moved(f: Function) -> Function:
            return lambda x: f((x - shift) / scale)

        first = tuple(tuple(moved(f) if i == column else f for i, f in enumerate(row)) for row in self.functions[0])
        domains = list(self.domains)
        if domains[0] is not None:
            domain = np.array(domains[0])
            domain[column] = np.sort(domain[column] * scale + shift)
            domains[0] = domain
        return replace(self, functions=(first, *self.functions[1:]), domains=tuple(domains))

    def with_moved_constant(self, layer: int, dst: int, give: int, take: int, amount: float) -> Net:
        """The same network with a constant moved from one edge of a node to another."""

        def plus(f: Function, c: float) -> Function:
            return lambda x: f(x) + c

        functions = [[list(row) for row in rows] for rows in self.functions]
        row = functions[layer][dst]
        row[give], row[take] = plus(row[give], -amount), plus(row[take], amount)
        return replace(self, functions=tuple(tuple(tuple(r) for r in rows) for rows in functions))


def spread_domain(h: np.ndarray) -> np.ndarray:
    """Domain (src, 2) that just holds the data; one unit wide around a constant."""
    low, high = h.min(0), h.max(0)
    flat = low == high
    return np.stack([np.where(flat, low - 0.5, low), np.where(flat, high + 0.5, high)], axis=1)


def range_table(h: np.ndarray, domain: np.ndarray) -> RangeTable:
    """Counts of rows on an equidistant grid over each domain."""
    steps = np.linspace(0, 1, GRID + 1)
    knots = domain[:, :1] + (domain[:, 1:] - domain[:, :1]) * steps
    knots[:, -1] = domain[:, 1]
    intervals, outside = [], []
    for i, edges in enumerate(knots):
        column, reach = h[:, i], ORDER * (edges[-1] - edges[0]) / GRID
        intervals.append(np.histogram(column, edges)[0])
        low, high = column < edges[0], column > edges[-1]
        far_low, far_high = column < edges[0] - reach, column > edges[-1] + reach
        outside.append([far_low.sum(), (low & ~far_low).sum(), (high & ~far_high).sum(), far_high.sum()])
    return RangeTable(knots=knots, order=ORDER, intervals=np.array(intervals), outside=np.array(outside))


def raw_table(columns: np.ndarray, names: Sequence[str], lags: int = 1) -> RawTable:
    """Moments of raw columns (rows, F)."""
    centred = columns - columns.mean(0)
    return RawTable(names=tuple(names), nodes=NodeTable.of(columns), co=centred.T @ centred, lags=lags)


def random_inputs(width: int, rows: int = 400, seed: int = 0) -> np.ndarray:
    """Uniform on [-1, 1]."""
    return np.random.default_rng(seed).uniform(-1, 1, (rows, width))


def random_net(widths: Sequence[int], seed: int = 0, *, dead: float = 0.0) -> Net:
    """A network of bounded random edges; a share ``dead`` of them is constant or masked."""
    rng = np.random.default_rng(seed)
    functions = [[[random_edge(rng, dead) for _ in range(s)] for _ in range(d)] for s, d in pairwise(widths)]
    alive = [rng.uniform(size=(d, s)) >= dead / 2 for s, d in pairwise(widths)]
    return Net.of(functions, alive=alive, biases=[rng.normal(size=d) for d in widths[1:]])


def random_edge(rng: np.random.Generator, dead: float = 0.0) -> Function:
    a, b, c = rng.normal(size=3)
    if rng.uniform() < dead / 2:
        return lambda x: np.full_like(x, a)
    kind = rng.integers(3)
    if kind == 0:
        return lambda x: a * np.sin(2 * b * x + c)
    if kind == 1:
        return lambda x: a * x + 0.3 * b * x**2
    return lambda x: a * np.tanh(2 * x + c)
