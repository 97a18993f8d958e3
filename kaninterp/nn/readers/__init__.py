"""Modules whose first weights read raw columns, one family per file; a new family is one file and one line."""

from kaninterp.nn.readers.family import Family
from kaninterp.nn.readers.narrowed import Narrowed
from kaninterp.nn.readers.registry import FAMILIES, READABLE, column_axis, family_of, input_kind, input_width

__all__ = [
    "FAMILIES",
    "READABLE",
    "Family",
    "Narrowed",
    "column_axis",
    "family_of",
    "input_kind",
    "input_width",
]
