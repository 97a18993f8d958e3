"""Selection of inputs with a KAN as the proxy model: grown by tests, confirmed by swaps, with a survival curve."""

from .curve import CurvePoint
from .select import select
from .survivors import Selection, Survivor

__all__ = ["CurvePoint", "Selection", "Survivor", "select"]
