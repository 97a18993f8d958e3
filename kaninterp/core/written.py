"""`Written`: a KAN as a formula, in words and numbers, with what it costs beside the model it stands for."""

from __future__ import annotations

from dataclasses import dataclass

from .evidence import Estimate

__all__ = ["Written", "WrittenEdge", "WrittenLosses", "WrittenOutput"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenOutput:
    """One output of the KAN.

    Attributes
    ----------
    name : str
        The output.
    text, latex : str
        Its expression, as text and in LaTeX.
    reads : tuple of int
        Inputs of the KAN in it, nodes of layer 0.
    """

    name: str
    text: str
    latex: str
    reads: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenEdge:
    """What became of an edge.

    Attributes
    ----------
    layer, dst, src : int
        Which.
    family : str or None
        Its function; None: it stayed a spline.
    r2 : float
        Of the best function on its curve.
    why : str
        Why it stayed a spline; "" else.
    """

    layer: int
    dst: int
    src: int
    family: str | None
    r2: float
    why: str

    @property
    def spline(self) -> str:
        """What stands for it in a formula if it stayed a spline.

        Examples
        --------
        >>> WrittenEdge(layer=1, dst=0, src=2, family=None, r2=0.4, why="no function comes near it").spline
        'phi_1_0_2'
        """
        return f"phi_{self.layer}_{self.dst}_{self.src}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenLosses:
    """The formula beside its model, on the same rows, used for nothing else.

    Attributes
    ----------
    name : str
        The loss.
    rows, undefined : int
        How many rows, and on how many of them the formula is not defined.
    model, functions, formula : float
        Mean losses: of the model, of its KAN with functions for edges, and of the formula, which came from that by
        leaving out terms and rounding; inf where it is not defined on some rows.
    constant : float
        Mean loss of a constant, the mean of the model's outputs.
    standardised : bool
        Whether the losses are in standardised units while the formula is not.
    rise : Estimate or None
        The formula's loss minus the model's, row by row; None where the formula is not defined on some rows.
    allowed : float
        Rise up to which the formula may stand for the model.

    Examples
    --------
    >>> losses = WrittenLosses(name="mse", rows=200, undefined=0, model=1.0, functions=1.05,
    ...     formula=1.1, constant=4.0, rise=Estimate(value=0.1, low=0.05, high=0.15), allowed=0.02)
    >>> losses.holds, losses.told_apart, losses.worse_than_constant
    (False, True, False)
    """

    name: str
    rows: int
    undefined: int
    model: float
    functions: float
    formula: float
    constant: float
    rise: Estimate | None
    allowed: float
    standardised: bool = False

    @property
    def holds(self) -> bool:
        """Whether the loss rises by no more than is allowed."""
        return self.rise is not None and self.rise.value <= self.allowed

    @property
    def told_apart(self) -> bool:
        """Whether these rows tell the two losses apart: the interval of the rise excludes 0."""
        return self.rise is None or self.rise.low > 0 or self.rise.high < 0

    @property
    def worse_than_constant(self) -> bool:
        """Whether a constant would do better than the formula, which does not hold then."""
        return self.rise is not None and not self.holds and self.formula > self.constant


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A KAN as a formula, or why there is none.

    Attributes
    ----------
    outputs : tuple of WrittenOutput
        One per output; none where there is no formula.
    edges : tuple of WrittenEdge
        Every live edge.
    dropped : tuple of str
        Terms left out because the data do not support them.
    losses : WrittenLosses or None
        What it is worth; None without a formula.
    tolerance : float
        Share by which writing an edge as a function might raise the loss.
    live : int
        Live edges of the KAN.
    remark : str
        Why there is no formula; "" else.

    Examples
    --------
    >>> Written(live=2000, remark="too large").splines
    ()
    """

    live: int
    outputs: tuple[WrittenOutput, ...] = ()
    edges: tuple[WrittenEdge, ...] = ()
    dropped: tuple[str, ...] = ()
    losses: WrittenLosses | None = None
    tolerance: float = 0.0
    remark: str = ""

    @property
    def splines(self) -> tuple[WrittenEdge, ...]:
        """Edges that stayed splines, the worst fit first."""
        stayed = [edge for edge in self.edges if edge.family is None]
        return tuple(sorted(stayed, key=lambda edge: (edge.r2, edge.layer, edge.dst, edge.src)))
