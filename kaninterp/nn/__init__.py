"""Torch modules and what is done to them: KANHead and its parts, hybrids, raw-input columns, surgery, losses.

Table of contents: the room's public names, each from the file of its idea.
"""

from kaninterp.nn.columns import column_norms, proximal_step_
from kaninterp.nn.dropped import check_dropped
from kaninterp.nn.files import load_head, save_head
from kaninterp.nn.formulas import formulas_of, splines_again_, with_formulas, without_formulas
from kaninterp.nn.gate import InputGate, gate_inputs, gate_notes, gated_columns
from kaninterp.nn.head import KANHead
from kaninterp.nn.host_surgery import prune_model
from kaninterp.nn.hybrid import Hybrid
from kaninterp.nn.inputs import Entry, entries
from kaninterp.nn.layer import KANLayer
from kaninterp.nn.losses import LOSSES, resolve_loss
from kaninterp.nn.narrow import input_kind, narrow
from kaninterp.nn.penalty import layer_penalty
from kaninterp.nn.piecewise import piecewise
from kaninterp.nn.rows_first import rows_first
from kaninterp.nn.surgery import prune_head
from kaninterp.nn.symbolic import SymbolicEdges
from kaninterp.nn.undisturbed import undisturbed

__all__ = [
    "LOSSES",
    "Entry",
    "Hybrid",
    "InputGate",
    "KANHead",
    "KANLayer",
    "SymbolicEdges",
    "check_dropped",
    "column_norms",
    "entries",
    "formulas_of",
    "gate_inputs",
    "gate_notes",
    "gated_columns",
    "input_kind",
    "layer_penalty",
    "load_head",
    "narrow",
    "piecewise",
    "proximal_step_",
    "prune_head",
    "prune_model",
    "resolve_loss",
    "rows_first",
    "save_head",
    "splines_again_",
    "undisturbed",
    "with_formulas",
    "without_formulas",
]
