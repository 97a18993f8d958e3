"""Networks as formulas: edges snapped to functions together, put together, trimmed and rounded by what data support."""

from kaninterp.symbolic.canonical import canonical
from kaninterp.symbolic.compose import LayerFormula, composed, in_units
from kaninterp.symbolic.formula import Formula

__all__ = ["Formula", "LayerFormula", "canonical", "composed", "in_units"]
