"""`Trace`: everything one pass over the data measured, without the data and without the model."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from . import archive
from .errors import ShapeError
from .frozen import BoolArray, same
from .parts import PartTable
from .tables import EdgeTable, NodeTable, RangeTable, RawTable

__all__ = ["LayerTrace", "ModelCard", "Trace", "merge_layers"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerTrace:
    """One KAN layer as seen on the data: its input nodes, where they fell, its edges, and what these are made of."""

    inputs: NodeTable
    ranges: RangeTable
    edges: EdgeTable
    parts: PartTable

    @property
    def on_grid(self) -> BoolArray:
        """Whether a live edge of the source is a spline, shape (src,): where a formula is read, no grid matters."""
        return np.asarray((self.edges.alive & self.parts.spline).any(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What was traced, in words and numbers; no weights.

    Attributes
    ----------
    model, head, path : str
        Class of the model, class of its KAN, and where the KAN sits in the model ("head").
    fingerprint : str
        SHA-256 of the KAN's structure and weights; a plan made from this trace fits only this KAN.
    parameters, head_parameters : int
        Trainable numbers in the model and in its KAN.
    widths : tuple of int
        Nodes per layer of the KAN, from its inputs to its outputs.
    node_ids : tuple of tuple of int
        Original index of each node (differs from its position once the KAN was pruned).
    options : tuple of (str, str)
        Further facts to print: grid, order, dtype, device.
    """

    model: str
    head: str
    path: str
    fingerprint: str
    parameters: int
    head_parameters: int
    widths: tuple[int, ...]
    node_ids: tuple[tuple[int, ...], ...]
    options: tuple[tuple[str, str], ...] = ()

    def node_name(self, layer: int, index: int, columns: tuple[str, ...]) -> str:
        """Name of a node below the outputs; that of a raw column where the KAN is the model and reads it itself."""
        original = self.node_ids[layer][index]
        if layer:
            return f"node {layer}.{original}"
        return columns[original] if self.path == "" and len(columns) > original else f"unit {original}"

    def check_reference(self, reference: ModelCard) -> None:
        """Raise `ShapeError` unless a reference is of this model: same weights, hence same knots."""
        if reference.fingerprint != self.fingerprint or reference.widths != self.widths:
            raise ShapeError(
                f"reference: traced on another model ({reference.head} {list(reference.widths)} "
                f"{reference.fingerprint[:12]}) than the data ({self.head} {list(self.widths)} "
                f"{self.fingerprint[:12]}); trace both data sets with the same model"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """Sufficient statistics of a KAN inside a model, over a data set (laws 3, 6, 9, 10).

    Attributes
    ----------
    layers : tuple of LayerTrace
        From the head inputs to the outputs.
    outputs : NodeTable
        The head's outputs.
    raw : RawTable or None
        The user's own columns; None if the model's inputs could not be read as columns.
    output_names : tuple of str
        Names of the outputs.
    card : ModelCard
        What was traced.
    data : str
        Kind and shape of the data in words ("DataFrame 5000 x 8"); each kind once, in sorted order, after merging.
    data_fingerprints : tuple of str
        SHA-256 of each data set traced, in sorted order, so that merging in any order gives the same.

    Notes
    -----
    The size is O(edges x grid) whatever the number of rows. `merge` joins traces of the same model over disjoint
    rows, from batches, processes or machines.
    """

    layers: tuple[LayerTrace, ...]
    outputs: NodeTable
    raw: RawTable | None
    output_names: tuple[str, ...]
    card: ModelCard
    data: str
    data_fingerprints: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Rows that reached the head (time steps count when the head reads each of them)."""
        return self.outputs.count

    @property
    def nodes(self) -> tuple[NodeTable, ...]:
        """Node tables of every layer, head inputs first, outputs last."""
        return (*(layer.inputs for layer in self.layers), self.outputs)

    def node_name(self, layer: int, index: int) -> str:
        """Name of a node: an output's own name, ``unit 3`` for a head input, ``node 1.2`` in between."""
        if layer == len(self.layers):
            return self.output_names[index]
        return self.card.node_name(layer, index, () if self.raw is None else self.raw.names)

    def merge(self, other: Trace) -> Trace:
        """Trace of the rows of both.

        Raises
        ------
        ShapeError
            The traces are of different models or columns.
        """
        if self.card != other.card or self.output_names != other.output_names:
            raise ShapeError(
                f"cannot merge traces of different models: {self.card.model} {self.card.fingerprint[:12]} and "
                f"{other.card.model} {other.card.fingerprint[:12]}; trace both data sets with the same model"
            )
        if (self.raw is None) != (other.raw is None):
            raise ShapeError("cannot merge a trace with raw columns and one without; trace both in the same way")
        layers = merge_layers(self.layers, other.layers, (self.outputs, other.outputs))
        return Trace(
            layers=layers,
            outputs=self.outputs.merge(other.outputs),
            raw=self.raw.merge(other.raw) if self.raw is not None and other.raw is not None else None,
            output_names=self.output_names,
            card=self.card,
            data=" + ".join(sorted({*self.data.split(" + "), *other.data.split(" + ")})),
            data_fingerprints=tuple(sorted(self.data_fingerprints + other.data_fingerprints)),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to an ``.npz`` file (no pickle), atomically."""
        archive.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Trace:
        """Read a trace back; raises `FileFormatError` on anything else."""
        return archive.load(path, cls, (LayerTrace, ModelCard, NodeTable, RangeTable, EdgeTable, PartTable, RawTable))

    def equals(self, other: Trace) -> bool:
        """Whether both hold the same values, bit for bit."""
        return same(self, other)

    def __repr__(self) -> str:
        widths = ", ".join(map(str, self.card.widths))
        edges = sum(int(np.count_nonzero(layer.edges.alive)) for layer in self.layers)
        return f"Trace({self.card.model}, widths=[{widths}], edges={edges}, rows={self.rows}, data={self.data!r})"


def merge_layers(
    left: tuple[LayerTrace, ...], right: tuple[LayerTrace, ...], outputs: tuple[NodeTable, NodeTable]
) -> tuple[LayerTrace, ...]:
    """Layers over the rows of both sides; ``outputs`` are the tables of each side's outputs."""
    mine = [*(layer.inputs.mean for layer in left), outputs[0].mean]
    theirs = [*(layer.inputs.mean for layer in right), outputs[1].mean]
    return tuple(
        LayerTrace(
            inputs=a.inputs.merge(b.inputs),
            ranges=a.ranges.merge(b.ranges),
            edges=a.edges.merge(b.edges, (mine[i], theirs[i]), (mine[i + 1], theirs[i + 1])),
            parts=a.parts.merge(b.parts, (a.edges, b.edges), (mine[i], theirs[i])),
        )
        for i, (a, b) in enumerate(zip(left, right, strict=True))
    )
