"""What was measured about the user's own columns: the price of losing each, where its effect goes, and the curve.

All of it is numbers and names; how they were measured is said by the functions of `kaninterp.measure` that make them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from . import archive
from .frozen import Array, BoolArray, IntArray, bools, floats, integers

__all__ = [
    "CORRELATED",
    "GRADIENTS",
    "OUTPUT_CHANGE",
    "SAMPLED",
    "Z95",
    "Estimate",
    "InputAblation",
    "InputAttribution",
    "InputShapley",
    "PruneCost",
    "SurvivalCurve",
]

Z95 = 1.959964
"""Half-width of a 95 % interval in standard errors."""

CORRELATED = 0.95
"""|r| from which two columns are called substitutes: they share nine tenths of their variance."""

OUTPUT_CHANGE = "output change"
"""Name of the loss where there is no target: mean squared change in units of the outputs' variance."""


GRADIENTS, SAMPLED = "Integrated Gradients", "sampled Shapley values"
"""How effects of inputs on outputs are measured: along the gradient, or where there is none by running again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its interval: 95 % from a moving-block bootstrap over rows, unless said otherwise.

    Examples
    --------
    >>> print(Estimate(value=0.25, low=0.2, high=0.31))
    0.25 [0.2, 0.31]
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InputAblation:
    """What happens when one raw column is taken away and the rest stays.

    Attributes
    ----------
    names : tuple of str
        Raw columns, F of them.
    loss : str
        Name of the loss; "output change" when no target was given (then the loss of the intact model is 0).
    rows, block, repeats : int
        Rows used, length of the blocks kept together in the bootstrap, shuffles averaged.
    fill : str
        What came in its place: "permuted" (another row's values), "conditional" (what the other columns say of it, plus
        another row's residual), "mean" or "zero".
    base : Estimate
        Loss of the intact model.
    change, low, high : ndarray, shape (F,)
        Rise of the loss and its interval.
    p_value : ndarray, shape (F,)
        One-sided: how often a bootstrap of the rise is not above zero, (1 + hits) / (1 + draws).
    reads : ndarray of bool, shape (F,)
        False where the model cannot read the column (exact: its weights are zero or it was cut away).
    norms : ndarray, shape (F,)
        Norm of the column's weights in the first layer; NaN where the backbone could not be read.
    node_shares : tuple of ndarray, one per layer 0..L, each (n_l, F)
        Share of a node's variance that is lost without the column: E[(h - h')^2] / (2 Var h), the total Sobol index for
        independent columns (Jansen 1999), given the other columns for a conditional fill; for a constant fill
        E[(h - h')^2] / Var h. Layer 0 = units, layer L = outputs.
    """

    names: tuple[str, ...]
    loss: str
    rows: int
    block: int
    repeats: int
    base: Estimate
    change: Array
    low: Array
    high: Array
    p_value: Array
    reads: BoolArray
    norms: Array
    node_shares: tuple[Array, ...]
    fill: str = "permuted"

    def __post_init__(self) -> None:
        n = len(self.names)
        for name in ("change", "low", "high", "p_value"):
            object.__setattr__(self, name, floats(getattr(self, name), (n,), f"InputAblation.{name}"))
        object.__setattr__(self, "norms", floats(self.norms, (n,), "InputAblation.norms", finite=False))
        object.__setattr__(self, "reads", bools(self.reads, (n,), "InputAblation.reads"))
        shares = tuple(floats(s, (None, n), "InputAblation.node_shares") for s in self.node_shares)
        object.__setattr__(self, "node_shares", shares)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to an ``.npz`` file (no pickle), atomically."""
        archive.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> InputAblation:
        """Read it back; raises `FileFormatError` on anything else."""
        return archive.load(path, cls, (Estimate,))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InputShapley:
    """What each raw column is worth to the loss, averaged over the orders in which columns may be taken away.

    Attributes
    ----------
    names : tuple of str
        Raw columns, F of them.
    loss, fill : str
        As for `InputAblation`.
    rows, permutations : int
        Rows used; orders of removal drawn, 0 where every subset was evaluated.
    base, bare : float
        Mean loss of the intact model, and without any column.
    value, error : ndarray, shape (F,)
        Shapley value, and the standard error that the drawn orders leave (not that of the rows). The values sum to
        ``bare - base``.
    """

    names: tuple[str, ...]
    loss: str
    fill: str
    rows: int
    permutations: int
    base: float
    bare: float
    value: Array
    error: Array

    def __post_init__(self) -> None:
        for name in ("value", "error"):
            object.__setattr__(self, name, floats(getattr(self, name), (len(self.names),), f"InputShapley.{name}"))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to an ``.npz`` file (no pickle), atomically."""
        archive.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> InputShapley:
        """Read it back; raises `FileFormatError` on anything else."""
        return archive.load(path, cls, ())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InputAttribution:
    """Where in columns and time lags the outputs come from (T lags, F columns, lag index 0 = last time step).

    Attributes
    ----------
    names : tuple of str
        Raw columns, F of them.
    rows : int
        Rows explained.
    baselines : tuple of str
        What "absent" meant, one entry per run of Integrated Gradients (Sundararajan et al. 2017).
    signed, magnitude : ndarray, shape (baselines, outputs, T, F)
        Mean attribution and mean of its absolute value, in units of the output.
    residual : ndarray, shape (baselines, outputs)
        Completeness residual: median over rows of |sum of attributions - (f(x) - f(baseline))|, divided by the
        median of |f(x) - f(baseline)|; 0 is perfect.
    perturbation : ndarray, shape (outputs, F)
        Mean |change of the output| when a whole column is replaced by its mean (captum FeatureAblation).
    node_lags : tuple of ndarray, one per layer 0..L, each (n_l, T, F)
        Mean |gradient of the node x deviation of the input from its mean|: which lag of which column moves a node.
        Where there is no gradient: mean |change of the node| when that lag of the column takes the mean.
    method : str
        How ``signed`` and ``magnitude`` were measured: `GRADIENTS` or `SAMPLED`.
    """

    names: tuple[str, ...]
    rows: int
    baselines: tuple[str, ...]
    signed: Array
    magnitude: Array
    residual: Array
    perturbation: Array
    node_lags: tuple[Array, ...]
    method: str = GRADIENTS

    def __post_init__(self) -> None:
        shape = (len(self.baselines), None, None, len(self.names))
        object.__setattr__(self, "signed", floats(self.signed, shape, "signed"))
        b, o, t, f = self.signed.shape
        object.__setattr__(self, "magnitude", floats(self.magnitude, (b, o, t, f), "magnitude"))
        object.__setattr__(self, "residual", floats(self.residual, (b, o), "residual"))
        object.__setattr__(self, "perturbation", floats(self.perturbation, (o, f), "perturbation"))
        object.__setattr__(self, "node_lags", tuple(floats(n, (None, t, f), "node_lags") for n in self.node_lags))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to an ``.npz`` file (no pickle), atomically."""
        archive.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> InputAttribution:
        """Read it back; raises `FileFormatError` on anything else."""
        return archive.load(path, cls, ())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SurvivalCurve:
    """Loss when only the best k raw columns are left and the others are shuffled together, k = 0..F.

    Attributes
    ----------
    order : ndarray of int, shape (F,)
        Columns from the most to the least needed (by rise of the loss).
    loss, low, high : ndarray, shape (F + 1,)
        Loss with the first k columns of ``order`` intact, and its interval.
    chosen : int
        Smallest k whose loss is within one standard error of the intact model's.
    """

    order: IntArray
    loss: Array
    low: Array
    high: Array
    chosen: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", integers(self.order, (None,), "SurvivalCurve.order"))
        n = len(self.order) + 1
        for name in ("loss", "low", "high"):
            object.__setattr__(self, name, floats(getattr(self, name), (n,), f"SurvivalCurve.{name}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneCost:
    """The price of a prune plan, measured by carrying it out on a copy.

    Attributes
    ----------
    loss : str
        Name of the loss.
    rows : int
        Rows it was measured on.
    before, after : Estimate
        Loss of the model and of its pruned copy.
    difference : Estimate
        after - before on the same rows (paired, hence narrower than the two intervals suggest).
    inputs, edges, nodes, parameters : tuple of (int, int)
        Count before and after.
    largest_gap : float
        Largest |prediction of the compact copy - prediction of the masked copy| (law 4: about 0).
    """

    loss: str
    rows: int
    before: Estimate
    after: Estimate
    difference: Estimate
    inputs: tuple[int, int]
    edges: tuple[int, int]
    nodes: tuple[int, int]
    parameters: tuple[int, int]
    largest_gap: float
