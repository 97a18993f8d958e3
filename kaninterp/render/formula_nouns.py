"""Formulas as a report shows them: lines that wrap, with LaTeX to copy."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FormulaLine", "FormulaLines"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FormulaLine:
    """One output.

    Attributes
    ----------
    name : str
        The output.
    text : str
        ``output = expression``, or the start of it.
    latex : str
        The expression in LaTeX; "" where it is too long to be of use.
    remark : str
        What was left out of the text; "" for nothing.
    """

    name: str
    text: str
    latex: str
    remark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FormulaLines:
    """Formulas of the outputs.

    Attributes
    ----------
    caption, note : str
        What they are, and how to read them.
    items : tuple of FormulaLine
        In the order of the outputs.
    """

    caption: str
    items: tuple[FormulaLine, ...]
    note: str
