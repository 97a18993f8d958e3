"""`RangeCard`: what a model has seen, small enough to lie beside its weights, and readable without this library."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from . import archive
from .errors import DataError, InputTypeError, NamesError, ShapeError
from .frozen import Array, floats
from .shapes import Shapes
from .tables import NodeTable, RangeTable, RawTable
from .trace import ModelCard, Trace

__all__ = ["RangeCard", "SeenColumns", "SeenLayer"]

SHOWN = 8
"""Names written out in an error."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeenLayer:
    """Input nodes of one KAN layer.

    Attributes
    ----------
    inputs : NodeTable
        Their moments.
    ranges : RangeTable
        Where they fell on the grid.
    effective : ndarray, shape (src,)
        Independent rows that would tell as much.
    """

    inputs: NodeTable
    ranges: RangeTable
    effective: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "effective", floats(self.effective, self.inputs.mean.shape, "SeenLayer.effective"))
        if (self.effective < 0).any():
            raise DataError("SeenLayer: numbers of rows are 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeenColumns:
    """Raw columns.

    Attributes
    ----------
    names : tuple of str
    nodes : NodeTable
        Moments over all rows and lags.
    effective : ndarray, shape (F,)
        Independent rows that would tell as much: rows in the order of time repeat each other.
    repeats : ndarray, shape (F,)
        Share of rows that equal the row before: how little it means that a column stands still. 1: not known.
    shapes : Shapes or None
        Distributions at lag 0; None: not known.
    """

    names: tuple[str, ...]
    nodes: NodeTable
    effective: Array
    repeats: Array
    shapes: Shapes | None

    def __post_init__(self) -> None:
        shape = (len(self.names),)
        for name in ("effective", "repeats"):
            object.__setattr__(self, name, floats(getattr(self, name), shape, f"SeenColumns.{name}"))
        if len(self.nodes.mean) != len(self.names):
            raise ShapeError(f"SeenColumns: {len(self.names)} names for {len(self.nodes.mean)} columns")
        if (self.effective < 0).any() or (self.repeats < 0).any() or (self.repeats > 1).any():
            raise DataError("SeenColumns: numbers of rows are 0 or more, shares from 0 to 1")
        if self.shapes is not None and len(self.shapes.quantiles) != len(self.names):
            raise ShapeError(f"SeenColumns: {len(self.names)} names for {len(self.shapes.quantiles)} distributions")

    @classmethod
    def of(cls, raw: RawTable) -> SeenColumns:
        """Columns of a trace: every row counts, nothing is known of their order."""
        count = len(raw.names)
        worth = np.full(count, raw.nodes.count / max(raw.lags, 1))
        return cls(names=raw.names, nodes=raw.nodes, effective=worth, repeats=np.ones(count), shapes=None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RangeCard:
    """Ranges, grids and histograms of every layer on the data a model was trained on.

    Attributes
    ----------
    card : ModelCard
        Which model; the fingerprint of its KAN tells whether a card belongs to it.
    layers : tuple of SeenLayer
        From the head inputs on.
    raw : SeenColumns or None
        The user's columns, where they could be read.
    rows : int
        Rows seen.
    data : str
        Kind and shape of the data in words.

    Notes
    -----
    It holds no row and no weight, but smallest and largest values of every column are values of somebody's row: treat
    it like a summary of the data.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> head = ki.KANHead(2, 1, domain=(-1, 1))
    >>> card = RangeCard.of(ki.trace(head, torch.zeros(5, 2)))
    >>> card
    RangeCard(KANHead, widths=[2, 1], rows=5, columns=['x0', 'x1'])
    """

    card: ModelCard
    layers: tuple[SeenLayer, ...]
    raw: SeenColumns | None
    rows: int
    data: str

    def __post_init__(self) -> None:
        found = tuple(len(layer.inputs.mean) for layer in self.layers)
        knots = tuple(len(layer.ranges.knots) for layer in self.layers)
        if found != self.card.widths[:-1] or knots != found:
            raise ShapeError(f"RangeCard: layers of {found} and {knots} nodes for a KAN of widths {self.card.widths}")
        counts = [layer.ranges.intervals.min(initial=0) for layer in self.layers]
        counts += [layer.ranges.outside.min(initial=0) for layer in self.layers]
        if self.rows < 1 or min(counts) < 0:
            raise DataError("RangeCard: numbers of rows are positive, and counts 0 or more")

    @classmethod
    def of(
        cls, trace: Trace, *, columns: SeenColumns | None = None, effective: tuple[Array, ...] | None = None
    ) -> RangeCard:
        """The part of a trace that later data are held against.

        Parameters
        ----------
        trace
            Of the training data.
        columns
            What is known of the raw columns beyond the trace; None: their moments. `kaninterp.range_card` measures it.
        effective : tuple of ndarray, optional
            Independent rows per input node of each layer; None: all rows are.

        Raises
        ------
        DataError
            The trace holds no rows.
        """
        if not trace.rows:
            raise DataError("RangeCard: the trace holds no rows, so nothing was seen; trace the training data")
        worth = effective or tuple(np.full(len(layer.inputs.mean), layer.inputs.count) for layer in trace.layers)
        seen = SeenColumns.of(trace.raw) if columns is None and trace.raw is not None else columns
        return cls(
            card=trace.card,
            layers=tuple(
                SeenLayer(inputs=layer.inputs, ranges=layer.ranges, effective=rows)
                for layer, rows in zip(trace.layers, worth, strict=True)
            ),
            raw=seen,
            rows=trace.rows,
            data=trace.data,
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the raw columns, in the order the model takes them; empty where they could not be read."""
        return () if self.raw is None else self.raw.names

    def node_name(self, layer: int, index: int) -> str:
        """Name of an input node of a layer, as in `Trace.node_name`."""
        return self.card.node_name(layer, index, self.columns)

    def check_columns(self, names: tuple[str, ...]) -> None:
        """Refuse data whose raw columns are not those of the card, in its order: a model takes columns by position.

        Raises
        ------
        NamesError
            A column is missing, is too many, or they come in another order; the message says which.
        """
        if not self.columns or names == self.columns:
            return
        missing = [name for name in self.columns if name not in names]
        extra = [name for name in names if name not in self.columns]
        if not missing and not extra:
            raise NamesError(
                f"columns {list(names)[:SHOWN]} are those of the card in another order, {list(self.columns)[:SHOWN]}; "
                "put them in its order: data[list(card.columns)]"
            )
        raise NamesError(
            f"the columns are not those of the card: missing {missing[:SHOWN]}, not in the card {extra[:SHOWN]}; give "
            f"the {len(self.columns)} columns the model was trained on, or their names by feature_names="
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write as JSON, atomically."""
        archive.save_text(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> RangeCard:
        """Read a card back; raises `FileFormatError` on anything else."""
        return archive.load_text(path, cls, (ModelCard, NodeTable, RangeTable, SeenColumns, SeenLayer, Shapes))

    @classmethod
    def given(cls, card: object) -> RangeCard:
        """A card, or the one at a path; raises `InputTypeError` on anything else."""
        if isinstance(card, RangeCard):
            return card
        if not isinstance(card, str | os.PathLike):
            raise InputTypeError(
                f"card: expected a RangeCard or the path of one, got {type(card).__name__}; make one with "
                "kaninterp.range_card(model, training_data)"
            )
        return cls.load(card)

    def __repr__(self) -> str:
        columns = f", columns={list(self.columns)[:SHOWN]}" if self.columns else ""
        return f"RangeCard({self.card.model}, widths={list(self.card.widths)}, rows={self.rows}{columns})"
