"""Networks as formulas: edges snapped to functions together, put together, trimmed and rounded by what data support."""

from kaninterp.symbolic.canonical import canonical
from kaninterp.symbolic.compose import LayerFormula, composed, in_units
from kaninterp.symbolic.expressions import Formula
from kaninterp.symbolic.of_model import FormulaReport, formula
from kaninterp.symbolic.snapping import Snapped, SnappedEdge, snap
from kaninterp.symbolic.trimming import Trimmed, trimmed

__all__ = [
    "Formula", "FormulaReport", "LayerFormula", "Snapped", "SnappedEdge", "Trimmed", "canonical", "composed", "formula",
    "in_units", "snap", "trimmed",
]  # fmt: skip
