"""Any KAN to one view of it: what the measuring floors ask of a KAN, and who answers for each family."""

from kaninterp.adapters.contract import check_view
from kaninterp.adapters.pykan import no_notes
from kaninterp.adapters.registry import ADAPTERS, as_view, column_names, find_kans
from kaninterp.adapters.runs import RunOfLayers
from kaninterp.adapters.stack import stack_view
from kaninterp.adapters.view import LayerView, ModelView

__all__ = [
    "ADAPTERS",
    "LayerView",
    "ModelView",
    "RunOfLayers",
    "as_view",
    "check_view",
    "column_names",
    "find_kans",
    "no_notes",
    "stack_view",
]
