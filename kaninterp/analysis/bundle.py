"""`Analysis`: every conclusion drawn from a trace, in one frozen bundle."""

from __future__ import annotations

from dataclasses import dataclass

from kaninterp.core.drift import DriftEvidence
from kaninterp.core.edge_evidence import EdgeAblation
from kaninterp.core.evidence import InputAblation, InputAttribution, SurvivalCurve
from kaninterp.core.findings import Finding, Verdict
from kaninterp.core.frozen import Array, BoolArray
from kaninterp.core.interactions import Interactions
from kaninterp.core.leaks import Leak
from kaninterp.core.passports import Passports
from kaninterp.core.plan import PrunePlan
from kaninterp.core.shadows import Shadows
from kaninterp.core.substitutes import Swap
from kaninterp.core.trace import Trace
from kaninterp.core.written import Written

from .drift import ShapeDrifts
from .trust import Trust

__all__ = ["Analysis", "LayerRanges", "LayerScores", "LayerStraightness"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerScores:
    """Importance of the edges of one layer, each [..., dst, src], and of its source nodes.

    Attributes
    ----------
    norm : ndarray, shape (dst, src)
        Root mean square of the centred edge function under the uniform measure on its domain (no data).
    strength : ndarray, shape (dst, src)
        Standard deviation of the edge's output over the data.
    share : ndarray, shape (dst, src)
        Cov(phi_ji, y_j) / Var(y_j); sums to 1 over src, negative for a cancelling edge, 0 for a constant node.
    kan2 : ndarray, shape (outputs, dst, src)
        KAN 2.0 edge score, per output.
    path : ndarray, shape (outputs, dst, src)
        Product of variance shares along all paths from this edge to the output.
    nodes_kan2, nodes_path : ndarray, shape (outputs, src)
        The same for the layer's source nodes.
    """

    norm: Array
    strength: Array
    share: Array
    kan2: Array
    path: Array
    nodes_kan2: Array
    nodes_path: Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerRanges:
    """Where the inputs of one layer fell, per source node.

    Attributes
    ----------
    knots : ndarray, shape (src, G + 1)
        Inner knots; the outer two are the domain.
    intervals : ndarray, shape (src, G)
        Share of rows in each knot interval.
    trained, fringe, dead : ndarray, shape (src,)
        Share of rows in each zone.
    sides : ndarray, shape (src, 4)
        Share of rows below the fringe, in the lower fringe, in the upper fringe, above it.
    coverage : ndarray, shape (src,)
        Share of knot intervals visited.
    effective : ndarray, shape (src,)
        How many equally filled intervals would be as even, 0 to G (`effective_intervals`).
    spread : ndarray, shape (src,)
        Share of the domain between the smallest and the largest value seen in it.
    state : tuple of str
        What is wrong with the use of the grid: "constant", "outside", "whole-numbers", "stretched", "under-used" or ""
        (`kaninterp.analysis.grid_use`).
    seen : ndarray, shape (src, 2)
        Smallest and largest value seen.
    reference : LayerRanges or None
        The same for the reference data, if there is one.
    """

    knots: Array
    intervals: Array
    trained: Array
    fringe: Array
    dead: Array
    sides: Array
    coverage: Array
    effective: Array
    spread: Array
    state: tuple[str, ...]
    seen: Array
    reference: LayerRanges | None = None

    @property
    def domain(self) -> Array:
        """Ends of the domains, shape (src, 2)."""
        return self.knots[:, [0, -1]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerStraightness:
    """How straight each edge is on the data, and why.

    Attributes
    ----------
    linear_r2 : ndarray, shape (dst, src)
        Squared correlation of phi_ji(x_i) with x_i; 0 for a constant edge.
    domain_r2 : ndarray, shape (dst, src)
        The same for the edge's function over its domain, all values alike (no data); 0 for a constant one.
    slope, bend : ndarray, shape (dst, src)
        The best line through the edge on the data: its slope, in units of the node per unit of the input, and the
        standard deviation of what it leaves over, in units of the node.
    base_share, spline_share : ndarray, shape (dst, src)
        Cov(part, phi_ji) / Var(phi_ji) on the data; the two sum to 1, and one above 1 works against the other. 0 for a
        constant edge.
    cause : tuple of tuple of str, [dst][src]
        "" (curved), "constant", "masked", or why it is straight: the keys of `kaninterp.analysis.straightness.CAUSES`.
    straight : ndarray of bool, shape (dst, src)
        Whether linear_r2 is above the threshold of `kaninterp.analysis.straightness`.
    """

    linear_r2: Array
    domain_r2: Array
    slope: Array
    bend: Array
    base_share: Array
    spline_share: Array
    cause: tuple[tuple[str, ...], ...]
    straight: BoolArray

    def __post_init__(self) -> None:
        for name in ("linear_r2", "domain_r2", "slope", "bend", "base_share", "spline_share", "straight"):
            getattr(self, name).flags.writeable = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Analysis:
    """What follows from a trace, and from the evidence on raw inputs where there is some.

    Attributes
    ----------
    trace : Trace
        What everything below was computed from.
    ablation, attribution, curve, edge_ablation
        Evidence on raw inputs and edges; None where it was not measured.
    passports : Passports or None
        Nodes described by the user's columns.
    interactions : Interactions or None
        Which raw columns act together.
    leaks : tuple of Leak
        Sums of few columns that give a target.
    swaps : tuple of Swap
        Who replaced dropped columns, and whether those would come back.
    drift : DriftEvidence or None
        The data against those from before.
    shapes : ShapeDrifts or None
        Distributions then and now; None where there are none from before.
    shadows : Shadows or None
        Inputs and edges against copies that know nothing about the target.
    trust : Trust or None
        What the explanation itself is worth.
    formula : Written or None
        The KAN as a formula, or why there is none; None where nobody asked for one.
    scores, ranges, straightness : tuple, one entry per layer
        Conclusions per edge and per node.
    verdicts : tuple of Verdict
        One per raw input (empty without raw columns).
    plan : PrunePlan
        What may go, with reasons.
    findings : tuple of Finding
        Worst first.
    """

    trace: Trace
    ablation: InputAblation | None
    attribution: InputAttribution | None
    curve: SurvivalCurve | None
    edge_ablation: EdgeAblation | None
    passports: Passports | None
    interactions: Interactions | None
    leaks: tuple[Leak, ...]
    swaps: tuple[Swap, ...]
    drift: DriftEvidence | None
    shapes: ShapeDrifts | None
    scores: tuple[LayerScores, ...]
    ranges: tuple[LayerRanges, ...]
    straightness: tuple[LayerStraightness, ...]
    verdicts: tuple[Verdict, ...]
    plan: PrunePlan
    findings: tuple[Finding, ...]
    shadows: Shadows | None = None
    trust: Trust | None = None
    formula: Written | None = None

    def __repr__(self) -> str:
        survive = {kind: sum(v.survives == kind for v in self.verdicts) for kind in ("keep", "tentative", "drop")}
        inputs = ", ".join(f"{count} {kind}" for kind, count in survive.items())
        return f"Analysis({self.trace!r}, inputs: {inputs}, findings={len(self.findings)})"
