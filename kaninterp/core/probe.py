"""`Probe`: what a trace cannot know because it needs the loss; the price of edges and nodes, by several methods."""

from __future__ import annotations

import os
from dataclasses import dataclass

from . import archive
from .errors import ShapeError
from .frozen import Array, floats, same

__all__ = ["PROBE_KINDS", "Probe"]

PROBE_KINDS = ("gradient", "taylor", "fisher", "ablation", "shapley")
"""What can be measured: each is a field of `Probe`, None where it was not asked for."""

_OUTPUT_FIELDS = ("gradient",)
_EDGE_FIELDS = ("taylor", "fisher", "ablation", "ablation_error")
_NODE_FIELDS = ("shapley", "shapley_error", "node_taylor")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Probe:
    """What edges and nodes of a KAN are worth to the loss, measured on rows of data.

    Removed always means what pruning does: an edge is replaced by its mean over these rows, a node goes by replacing
    all its outgoing edges by their means. Positive numbers are losses that removing would add.

    Attributes
    ----------
    loss : str
        Name of the loss; "output change" when there was no target (then ``base`` is 0).
    rows : int
        Rows of the data used.
    base : float
        Mean loss of the intact model on them.
    fingerprint : str
        `ModelCard.fingerprint` of the KAN that was probed.
    means : tuple of ndarray, one per layer, each (dst, src)
        Mean of every edge over the rows; 0 for a masked edge.
    taylor : tuple of ndarray or None, one per layer, each (dst, src)
        First-order change of the mean loss when the edge is removed, signed: mean over rows of
        ``g_j (mean_ji - phi_ji)`` with g the gradient of a row's loss (Molchanov et al. 2017, 2019).
    fisher : tuple of ndarray or None, one per layer, each (dst, src)
        Half the mean square of ``g_j (phi_ji - mean_ji)``: the second-order change by the empirical Fisher matrix
        (Theis et al. 2018; Liu et al. 2021), never negative. In units of the loss for a log-likelihood, of its
        square otherwise.
    gradient : tuple of ndarray or None, one per layer, each (outputs, dst, src)
        Mean of ``|d y_o / d y_j (phi_ji - mean_ji)|`` for every output o of the KAN, in units of that output: gradient
        x input (Shrikumar et al. 2016), about the mean.
    ablation, ablation_error : tuple of ndarray or None, one per layer, each (dst, src)
        Exact change of the mean loss when the edge alone is removed, and its standard error (block bootstrap over
        rows).
    shapley, shapley_error : tuple of ndarray or None, one per node layer 0..L-1, each (width,)
        Shapley value of each node for the loss, in the game whose players are the nodes of its layer: the rise of
        the loss when it is removed, averaged over the orders of removal. A layer's values sum to the rise when all
        of it is removed. The standard error is that of the drawn permutations.
    node_taylor : tuple of ndarray or None, one per node layer 0..L-1, each (width,)
        First-order change of the mean loss when the node is removed: ``taylor`` summed over outgoing edges.

    Examples
    --------
    >>> import numpy as np
    >>> probe = Probe(loss="mse", rows=9, base=0.5, fingerprint="", means=(np.zeros((1, 2)),), taylor=([[0.1, 0.0]],))
    >>> probe.kinds, probe.widths
    (('taylor',), (2, 1))
    """

    loss: str
    rows: int
    base: float
    fingerprint: str
    means: tuple[Array, ...]
    gradient: tuple[Array, ...] | None = None
    taylor: tuple[Array, ...] | None = None
    fisher: tuple[Array, ...] | None = None
    ablation: tuple[Array, ...] | None = None
    ablation_error: tuple[Array, ...] | None = None
    shapley: tuple[Array, ...] | None = None
    shapley_error: tuple[Array, ...] | None = None
    node_taylor: tuple[Array, ...] | None = None

    def __post_init__(self) -> None:
        means = tuple(floats(values, (None, None), f"Probe.means[{i}]") for i, values in enumerate(self.means))
        object.__setattr__(self, "means", means)
        for name in _OUTPUT_FIELDS:
            self._freeze(name, tuple((means[-1].shape[0], *values.shape) for values in means))
        for name in _EDGE_FIELDS:
            self._freeze(name, tuple(values.shape for values in means))
        for name in _NODE_FIELDS:
            self._freeze(name, tuple((values.shape[1],) for values in means))

    @property
    def kinds(self) -> tuple[str, ...]:
        """Which of `PROBE_KINDS` were measured."""
        return tuple(kind for kind in PROBE_KINDS if getattr(self, kind) is not None)

    @property
    def widths(self) -> tuple[int, ...]:
        """Nodes per layer 0..L of the KAN that was probed."""
        return (*(values.shape[1] for values in self.means), self.means[-1].shape[0])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to an ``.npz`` file (no pickle), atomically."""
        archive.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Probe:
        """Read it back; raises `FileFormatError` on anything else."""
        return archive.load(path, cls, ())

    def equals(self, other: Probe) -> bool:
        """Whether both hold the same values, bit for bit."""
        return same(self, other)

    def __repr__(self) -> str:
        widths = ", ".join(map(str, self.widths))
        return f"Probe({self.loss}={self.base:.4g}, widths=[{widths}], rows={self.rows}, {', '.join(self.kinds)})"

    def _freeze(self, name: str, shapes: tuple[tuple[int, ...], ...]) -> None:
        layers = getattr(self, name)
        if layers is None:
            return
        if len(layers) != len(shapes):
            raise ShapeError(f"Probe.{name}: expected one array per layer, {len(shapes)}, got {len(layers)}")
        frozen = (
            floats(v, shape, f"Probe.{name}[{i}]") for i, (v, shape) in enumerate(zip(layers, shapes, strict=True))
        )
        object.__setattr__(self, name, tuple(frozen))
