"""`Pruned`: pykan's calls that cut, with pykan's rule for which of them give a new model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kaninterp.core import PrunePlan

from .cutting import EDGE_TH, INPUT_TH, NODE_TH, carried_out, edge_plan, input_plan, node_plan, one_edge, one_node
from .measured import Measured

__all__ = ["Pruned"]


class Pruned(Measured):
    """Pruning.

    `prune`, `prune_node` and `prune_input` give a new model and leave this one as it is. `prune_edge`, `remove_edge`
    and `remove_node` silence edges of this one, and return it. Either way an edge that goes leaves its mean behind, as
    part of a bias, and nodes that then lie on no path go with it.
    """

    def prune(
        self,
        node_th: float | None = None,
        edge_th: float | None = None,
        *,
        threshold: float | None = None,
        mode: str = "auto",
        active_neurons_id: Sequence[Sequence[int]] | None = None,
    ) -> Any:
        """A new model without weak hidden nodes and edges.

        Parameters
        ----------
        node_th, edge_th : float, optional
            pykan 0.2: a hidden node, then an edge stays if its KAN 2.0 score exceeds this (0.01 and 0.03).
        threshold : float, optional
            pykan 0.0: a hidden node stays if its largest incoming and its largest outgoing edge exceed this (by their
            standard deviation); no edge is pruned by itself.
        mode, active_neurons_id
            ``mode="manual"``: these nodes stay, listed by layer with the inputs first (0.0), or hidden layers only
            (0.2).

        Returns
        -------
        KAN
            Inputs keep their positions, also those without edges; see `prune_input`.

        Raises
        ------
        NothingLeftError
            Every path would go.
        """
        if threshold is not None or mode != "auto" or active_neurons_id is not None:
            return self._with_nodes(NODE_TH if threshold is None else threshold, True, mode, active_neurons_id)
        trace = self.traced()
        plan = node_plan(trace, NODE_TH if node_th is None else node_th)
        new = self._of(carried_out(self.head, plan, compact=True))
        edges = edge_plan(new.traced(), EDGE_TH if edge_th is None else edge_th)
        self._left_out = _nodes_gone(plan)
        return self._of(carried_out(new.head, edges, compact=False))

    def prune_node(
        self,
        threshold: float = NODE_TH,
        mode: str = "auto",
        active_neurons_id: Sequence[Sequence[int]] | None = None,
        log_history: bool = False,
    ) -> Any:
        """A new model without hidden nodes whose KAN 2.0 score does not exceed a threshold, or with those listed."""
        del log_history
        return self._with_nodes(threshold, False, mode, active_neurons_id)

    def prune_edge(self, threshold: float = EDGE_TH, log_history: bool = False) -> Any:
        """Silence the edges whose KAN 2.0 score does not exceed a threshold, in place; returns this model."""
        del log_history
        return self._silenced(edge_plan(self.traced(), threshold))

    def prune_input(
        self, threshold: float = INPUT_TH, active_inputs: Sequence[int] | None = None, log_history: bool = False
    ) -> Any:
        """A new model that reads fewer inputs and is still called with all of them.

        Parameters
        ----------
        threshold : float
            An input stays if its KAN 2.0 score exceeds it.
        active_inputs : sequence of int, optional
            Positions, among the inputs that are read, of those that stay instead.

        Returns
        -------
        KAN
            ``input_id`` has the numbers of its inputs in the data, composed over all prunes.
        """
        del log_history
        plan, kept = input_plan(self.traced(), threshold, active_inputs)
        return self._of(carried_out(self.head, plan, compact=True, inputs=kept))

    def remove_edge(self, l: int, i: int, j: int, log_history: bool = False) -> Any:  # noqa: E741 (pykan's name)
        """Silence the edge from node i of layer l to node j above, in place; returns this model."""
        del log_history
        depth, src, dst = self._edge(l, i, j)
        return self._silenced(one_edge(self.traced(), depth, src, dst))

    def remove_node(self, l: int, i: int, mode: str = "all", log_history: bool = False) -> Any:  # noqa: E741 (pykan's name)
        """Silence all edges of node i of layer l, or those into it ("down"), out of it ("up"); in place."""
        del log_history
        return self._silenced(one_node(self.traced(), l, i, mode))

    def _with_nodes(self, threshold: float, old: bool, mode: str, active: Any) -> Any:
        plan = node_plan(self.traced(), threshold, old=old, mode=mode, active=active)
        self._left_out = _nodes_gone(plan)
        return self._of(carried_out(self.head, plan, compact=True))

    def _silenced(self, plan: PrunePlan) -> Any:
        self._become(carried_out(self.head, plan, compact=False))
        return self


def _nodes_gone(plan: PrunePlan) -> tuple[tuple[int, int], ...]:
    nodes = plan.mask.nodes()
    return tuple(
        (layer, node)
        for layer in range(1, len(nodes) - 1)
        for node, stays in enumerate(nodes[layer].tolist())
        if not stays
    )
