"""The network figure as data: nodes, links, edges in columns, and the four readings with their rulers."""

from __future__ import annotations

from dataclasses import dataclass

from .cells import Table

__all__ = ["Edges", "LayerAxes", "Link", "NetworkFigure", "Node", "Reading"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A circle of the figure.

    Attributes
    ----------
    column : int
        0 for raw inputs, then backbone units or KAN layers, outputs last.
    layer, index : int
        Place in the head; layer -1 for raw inputs in front of a backbone.
    kind : {"input", "unit", "node", "output"}
    weight : float
        KAN 2.0 score (largest over outputs); for a raw input the share of the output's variance lost when shuffled.
    note : str
        One sentence for the reader and for screen readers.
    verdict : str
        Survival of a raw input, else "".
    lags : tuple of float
        Lag profile of a raw input.
    live : bool
        Whether an edge that is drawn touches it.
    """

    column: int
    layer: int
    index: int
    kind: str
    name: str
    weight: float
    note: str
    verdict: str = ""
    lags: tuple[float, ...] = ()
    live: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """From a raw input to a unit: share of the unit's variation that is lost when the column is shuffled."""

    src: int
    dst: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One way to score edges.

    Attributes
    ----------
    key, label, meaning : str
        Short key, label of the switch, one sentence.
    scale : tuple of float
        Score drawn at full width, one per layer (equal where layers can be compared).
    power : float
        A line's width grows with this power of its score: 1 for what is like a standard deviation, 1/2 for a loss.
    threshold : float or None
        Where the plan cuts, if it went by this reading.
    threshold_text : str
        The same in words.
    noise : float or None
        Upper end of the noise band, if it is known for this reading.
    noise_text : str
        Where the band comes from, or why there is none.
    measured : int
        Edges that have this score.
    """

    key: str
    label: str
    meaning: str
    scale: tuple[float, ...]
    power: float
    threshold: float | None
    threshold_text: str
    noise: float | None
    noise_text: str
    measured: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerAxes:
    """Axes of the thumbnails of one layer, per source node.

    Attributes
    ----------
    window, domain : tuple of (low, high)
        What is drawn, and the trained zone.
    rug : tuple of tuple of (low, high, share)
        Share of the rows in each knot interval and fringe.
    """

    window: tuple[tuple[float, float], ...]
    domain: tuple[tuple[float, float], ...]
    rug: tuple[tuple[tuple[float, float, float], ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """Live edges in columns of equal length, highest default reading first.

    Attributes
    ----------
    layer, dst, src : tuple of int
        Place.
    kept : tuple of bool
        False where the plan removes the edge.
    readings : tuple of tuple of float or None
        One column per entry of `NetworkFigure.readings`.
    share : tuple of float
        Share of the output's variance along the paths through the edge (of the output where it is largest); negative
        where it cancels others.
    r2, cause : tuple
        Straightness on the data and its cause.
    low, high : tuple of float
        Range of the curve around its mean.
    curve : tuple of tuple of int
        The curve at equal steps of its window, 0..1000 of its range; empty where it was left out.
    drawn : int
        The first so many edges are drawn one by one.
    q : tuple of float or None
        False discovery rate against shadows (None: not tested); empty where no shadows were measured.
    """

    layer: tuple[int, ...]
    dst: tuple[int, ...]
    src: tuple[int, ...]
    kept: tuple[bool, ...]
    readings: tuple[tuple[float | None, ...], ...]
    share: tuple[float, ...]
    r2: tuple[float, ...]
    cause: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    curve: tuple[tuple[int, ...], ...]
    drawn: int
    q: tuple[float | None, ...] = ()

    def __len__(self) -> int:
        return len(self.layer)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFigure:
    """Everything the drawing of the network needs.

    Attributes
    ----------
    columns : tuple of str
        Heads of the columns of nodes.
    links : tuple of Link
        From raw inputs to units, strongest first; `links_text` says how many there were.
    default : str
        Key of the reading drawn first.
    masked : int
        Edges that are masked in the model and hence not drawn.
    left_out : str
        What was not drawn, and where to find it.
    companions : tuple of Table
        Tables that belong between the drawing and the thumbnails.
    """

    caption: str
    columns: tuple[str, ...]
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    links_text: str
    readings: tuple[Reading, ...]
    default: str
    edges: Edges
    axes: tuple[LayerAxes, ...]
    masked: int
    left_out: str
    companions: tuple[Table, ...] = ()
