"""`Measured`: pykan's calls that look at a model and leave it as it is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter

from kaninterp.core.errors import InputError
from kaninterp.core.frozen import Array
from kaninterp.measure.host import untouched
from kaninterp.nn.formulas import formulas_of
from kaninterp.nn.head import read_columns

from . import scoring
from .base import Base, rows_of
from .plotting import bars, drawn
from .spelling import index

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Measured"]


class Measured(Base):
    """Sizes, scores, activations and figures."""

    @property
    def width_in(self) -> list[int]:
        """Nodes per layer, as `width`."""
        return self.width

    @property
    def width_out(self) -> list[int]:
        """Nodes per layer, as `width`: all nodes add."""
        return self.width

    @property
    def n_sum(self) -> list[int]:
        """Nodes that add, by hidden layer."""
        return self.width[1:-1]

    @property
    def n_mult(self) -> list[int]:
        """Nodes that multiply, by hidden layer: none."""
        return [0] * (self.depth - 1)

    @property
    def n_edge(self) -> int:
        """Number of edges that are left, splines and formulas."""
        return sum(int((layer.mask != 0).sum()) for layer in self.head.kan_layers)

    def get_params(self) -> Iterator[Parameter]:
        """All parameters, for an optimiser."""
        return self.parameters()

    @property
    def feature_score(self) -> Tensor:
        """KAN 2.0 score of each input that is read, for the output that needs it most; shape (width[0],)."""
        return self.node_scores[0]

    @property
    def node_scores(self) -> list[Tensor]:
        """The same of the nodes of every layer; the outputs score 1."""
        scores = [torch.from_numpy(np.array(one)) for one in scoring.node_scores(self.traced())]
        return [*scores, torch.ones(self.width[-1], dtype=torch.float64)]

    @property
    def edge_scores(self) -> list[Tensor]:
        """KAN 2.0 scores of the edges, (dst, src) per layer."""
        return [torch.from_numpy(np.array(one)) for one in scoring.edge_scores(self.traced())]

    def attribute(
        self,
        l: int | None = None,  # noqa: E741 (pykan's name)
        i: int | None = None,
        out_score: Any = None,
        plot: bool = False,
    ) -> Array:
        """How much each input matters to the outputs, or to node i of layer l.

        Parameters
        ----------
        l, i : int, optional
            Layer (from 1; the outputs are the last) and node; None: the outputs, and the node that needs it most.
        out_score : sequence of float, optional
            Weights of the nodes of the layer.
        plot
            Draw the scores as bars, too, on a figure of pyplot.

        Returns
        -------
        ndarray, shape (width[0],)
            See `kaninterp.compat.scoring.attribution_to`.
        """
        layer = self.depth if l is None else index("l", l)
        node = None if i is None else index("i", i)
        given = out_score.detach().cpu().numpy() if isinstance(out_score, Tensor) else out_score
        scores = scoring.attribution_to(self.traced(), layer, node, given)
        if plot:
            bars(self.head, scores)
        return scores

    def get_act(self, x: Tensor | dict[str, Tensor] | None = None) -> list[Tensor]:
        """Values of all nodes, (rows, nodes) per layer, inputs that are read first.

        Parameters
        ----------
        x : Tensor or dataset, optional
            Rows that everything is measured on from now on; None: those it is measured on now.
        """
        if x is not None:
            self._rows = rows_of(x, self.head)
        return self._values()

    def get_fun(self, l: int, i: int, j: int) -> tuple[Array, Array]:  # noqa: E741 (pykan's name)
        """Edge from node i of layer l to node j above: its argument on the rows, ascending, and its values there."""
        depth, src, dst = self._edge(l, i, j)
        x = self._values()[depth]
        with torch.no_grad(), untouched(self):
            values = self.head.kan_layers[depth].edges(x)[:, dst, src]
        order = torch.argsort(x[:, src], stable=True)
        return x[order, src].double().cpu().numpy(), values[order].double().cpu().numpy()

    def get_range(self, l: int, i: int, j: int, verbose: bool = False) -> tuple[float, float, float, float]:  # noqa: E741, ARG002
        """Smallest and largest argument, smallest and largest value of an edge on the rows."""
        x, y = self.get_fun(l, i, j)
        return float(x.min()), float(x.max()), float(y.min()), float(y.max())

    def plot(  # noqa: PLR0917 (pykan's order)
        self,
        folder: str | os.PathLike[str] | None = None,
        beta: float = 3.0,
        metric: str = "backward",
        scale: float = 0.5,
        tick: bool = False,
        sample: bool = False,
        in_vars: Sequence[Any] | None = None,
        out_vars: Sequence[Any] | None = None,
        title: str | None = None,
        varscale: float = 1.0,
        *,
        mask: bool = False,
        mode: str = "supervised",
        out_vars_offset: float = 0.0,
    ) -> Figure:
        """Draw the network; an edge is the darker the more it matters.

        Parameters
        ----------
        folder
            Where to write ``network.svg``; None: no file.
        beta
            Opacity is ``tanh(beta * score)``.
        metric : {"backward", "forward_n", "forward_u"}
            KAN 2.0 score; standard deviation of the edge per standard deviation of its argument; the former alone.
        scale
            Size; 0.5 is the ordinary one.
        sample
            Mark the rows on the curves, 200 of them at most.
        tick, varscale, mode, out_vars_offset
            Taken and not needed: curves are drawn over the range of the rows.
        in_vars, out_vars
            Names of the inputs (all of the data, or those that are read) and of the outputs.
        title
            Text above.
        mask
            Leave out the hidden nodes that the last `prune()` of this model left out of its result.

        Returns
        -------
        matplotlib.figure.Figure
        """
        del tick, varscale, mode, out_vars_offset
        hidden = self._left_out if mask else None
        points = [each.double().cpu().numpy() for each in self._values()[:-1]] if sample else None
        return drawn(
            self.head, self.traced(), points=points, folder=folder, beta=beta, metric=metric, scale=2.0 * scale,
            in_vars=in_vars, out_vars=out_vars, title=title, hidden=hidden, symbolic=tuple(formulas_of(self.head)),
        )  # fmt: skip

    def _values(self) -> list[Tensor]:
        with torch.no_grad(), untouched(self):
            values = [read_columns(self.head, self._held())]
            for layer in self.head.layers:
                values.append(layer.eval()(values[-1]))
        return values

    def _edge(self, layer: Any, src: Any, dst: Any) -> tuple[int, int, int]:
        """(l, i, j) of pykan as (layer, src, dst), checked."""
        depth, i, j = index("l", layer), index("i", src), index("j", dst)
        widths = self.width
        if not (0 <= depth < self.depth and 0 <= i < widths[depth] and 0 <= j < widths[depth + 1]):
            raise InputError(f"there is no edge (l={depth}, i={i}, j={j}) in a KAN of widths {widths}")
        return depth, i, j
