"""What a selection says of every input: the verdict, its evidence, and who could take its place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kaninterp.core.evidence import CORRELATED
from kaninterp.core.frozen import Array, BoolArray

from .curve import CurvePoint, survival_curve
from .forward import left_over, removal_p_values
from .search import Search
from .swap import Fitted, Replacement

__all__ = ["Evidence", "Selection", "Survivor"]

DOUBTFUL = 0.5
"""Corrected p-value up to which an input that came in and went again is called tentative."""


@dataclass(frozen=True)
class Survivor:
    """The evidence for one input.

    Attributes
    ----------
    name : str
        Of the input.
    verdict : str
        "keep": significant, and needed beside the others; "tentative": came in significantly and went again with a
        p-value up to 0.5, or stands for the same as a kept one; "drop".
    share : float
        Share of the target's variance that goes with it when its terms go and the others are fitted again.
    p_value : float
        F-test of that, corrected for the number of inputs (Bonferroni); 1 for an input that never came in.
    terms : tuple of str
        What it does: "edge" of a lag, products with other inputs.
    substitutes : tuple of str
        Inputs that carry nearly the same (|r| >= 0.95).
    replaced_by : tuple of str
        Who came in when a search had to do without it.
    regret : float
        Share of the variance such a search explains less.
    why : str
        One sentence.
    """

    name: str
    verdict: str
    share: float
    p_value: float
    terms: tuple[str, ...]
    substitutes: tuple[str, ...]
    replaced_by: tuple[str, ...]
    regret: float
    why: str


@dataclass(frozen=True, eq=False)
class Selection:
    """What a selection found.

    Attributes
    ----------
    inputs : tuple of Survivor
        Every input, in the order of the data.
    curve : tuple of CurvePoint
        Held-out loss against the number of inputs kept.
    model : Fitted
        The KAN of one layer with product nodes behind it.
    rows : int
        Rows used.
    """

    inputs: tuple[Survivor, ...]
    curve: tuple[CurvePoint, ...]
    model: Fitted
    rows: int

    @property
    def kept(self) -> tuple[int, ...]:
        """Positions of the inputs with the verdict "keep"."""
        return tuple(i for i, found in enumerate(self.inputs) if found.verdict == "keep")

    def __repr__(self) -> str:
        names = ", ".join(self.inputs[i].name for i in self.kept) or "none"
        return f"Selection({len(self.kept)} of {len(self.inputs)} inputs survive: {names})"


@dataclass(frozen=True, eq=False)
class Evidence:
    """Puts what the searches found into words, input by input."""

    search: Search
    first: Fitted
    model: Fitted
    replacements: dict[int, Replacement]
    gone: frozenset[int]
    names: tuple[str, ...]
    labels: tuple[str, ...]

    def selection(self) -> Selection:
        """Everything together."""
        columns, y, readers = self.model.expansion.columns(self.search.x), self.search.y, self.model.readers
        p_values = removal_p_values(columns, y, readers) if readers else {}
        shares = {unit: _share(columns, y, self.model, unit) for unit in self.model.kept}
        order = sorted(self.model.kept, key=lambda unit: (-shares[unit], unit))
        found = tuple(
            self.of(unit, shares.get(unit, 0.0), min(p_values.get(unit, 1.0) * len(self.names), 1.0))
            for unit in range(len(self.names))
        )
        return Selection(found, survival_curve(columns, y, readers, order, self.names), self.model, len(y))

    def of(self, unit: int, share: float, p_value: float) -> Survivor:
        """One input."""
        replacement = self.replacements.get(unit)
        twins = self._twins(unit)
        verdict, why = self._verdict(unit, share, p_value, twins)
        return Survivor(
            name=self.names[unit],
            verdict=verdict,
            share=share,
            p_value=p_value,
            terms=self._terms(unit),
            substitutes=tuple(self.names[t] for t in twins),
            replaced_by=() if replacement is None else tuple(self.names[n] for n in replacement.newcomers),
            regret=0.0 if replacement is None else max(self.model.explained - replacement.explained, 0.0),
            why=why,
        )

    def _verdict(self, unit: int, share: float, p_value: float, twins: tuple[int, ...]) -> tuple[str, str]:
        kept = [self.names[t] for t in twins if t in self.model.kept]
        if unit in self.model.kept:
            return "keep", f"without it {share:.1%} of the target's variance is lost (p = {p_value:.2g})"
        if kept:
            return "tentative", f"redundant given {', '.join(kept)}: they carry nearly the same"
        if unit in self.gone:
            return "drop", "came in first, but the inputs kept explain as much without it"
        needless = {**self.first.needless, **self.model.needless}.get(unit)
        if needless is not None:
            verdict = "tentative" if needless <= DOUBTFUL else "drop"
            return verdict, f"came in and was needless beside the others (p = {needless:.2g})"
        if not np.ptp(self.search.x[:, self.search.owners == unit], axis=0).any():
            return "drop", "constant in these data"
        return "drop", "nothing of it stands out from noise, alone or in a product"

    def _terms(self, unit: int) -> tuple[str, ...]:
        texts: dict[str, None] = {}
        for term, read in zip(self.model.expansion.terms, self.model.readers, strict=True):
            if unit in read:
                texts[" x ".join(self.labels[f] for f in dict.fromkeys(feature for feature, _ in term))] = None
        return tuple(texts)

    def _twins(self, unit: int) -> tuple[int, ...]:
        return tuple(int(other) for other in np.flatnonzero(self._alike[unit]) if other != unit)

    @cached_property
    def _alike(self) -> BoolArray:
        """Pairs of inputs that at some lag are nearly the same, up to sign and scale."""
        columns = self.search.x.reshape(len(self.search.x), len(self.names), -1)
        alike = np.zeros((len(self.names), len(self.names)), dtype=bool)
        for lag in range(columns.shape[2]):
            centred = columns[:, :, lag] - columns[:, :, lag].mean(0)
            size = np.linalg.norm(centred, axis=0)
            unit_columns = centred / np.where(size > 0, size, 1.0)
            alike |= np.abs(unit_columns.T @ unit_columns) >= CORRELATED
        return alike


def _share(columns: Array, y: Array, model: Fitted, unit: int) -> float:
    left, _ = left_over(columns[:, [unit not in read for read in model.readers]], y)
    return max(model.explained - (1 - left / float(y @ y)), 0.0)
