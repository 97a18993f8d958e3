"""`to_json`: the document as one JSON text, the same bytes for the same document, safe inside a page."""

from __future__ import annotations

import json
import math
from dataclasses import fields, is_dataclass
from typing import Any

from .blocks import Document

__all__ = ["FORMAT", "VERSION", "rounded", "to_json"]

FORMAT = "kaninterp-report"
VERSION = 1
DIGITS = 6
UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}
"""Written as escapes, so that the text can stand in a script element whatever names it holds."""


def to_json(document: Document) -> str:
    """One JSON object: ``format``, ``version`` and the document; keys sorted, numbers with six digits, NaN as null.

    Every block carries its ``kind`` (the name of its class). The HTML report embeds exactly this text.
    """
    body = {"format": FORMAT, "version": VERSION, **_plain(document)}
    text = json.dumps(body, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    for character, escape in UNSAFE.items():
        text = text.replace(character, escape)
    return text


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        named = {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
        return {"kind": type(value).__name__, **named} if "kind" not in named else named
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return rounded(value)
    return value


def rounded(value: float) -> float | int | None:
    """Six significant digits, whole numbers as such, NaN and infinity as None.

    Examples
    --------
    >>> rounded(1 / 3), rounded(-0.0), rounded(2.0), rounded(float("nan"))
    (0.333333, 0, 2, None)
    """
    if not math.isfinite(value):
        return None
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 2**53 else short
