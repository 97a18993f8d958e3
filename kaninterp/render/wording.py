"""Numbers and names as people read them: fixed formats, and hostile names made harmless but still visible."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

from kaninterp.core.evidence import Estimate

__all__ = [
    "columns_of",
    "count",
    "interval",
    "join",
    "number",
    "p_value",
    "percent",
    "plural",
    "shorten",
    "shown",
    "sign",
]

MINUS = "\u2212"
EXPLICIT_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")
"""Direction marks: inside a name they could reorder the sentence around it, so they are printed as U+202E."""


def shown(text: object) -> str:
    r"""Make any name printable: control and direction characters become visible, nothing becomes "(empty name)".

    Examples
    --------
    >>> shown("a\x00b"), shown(""), shown("a\u202eb"), shown(7)
    ('a␀b', '(empty name)', 'a[U+202E]b', '7')
    """
    visible = "".join(_visible(character) for character in str(text))
    return visible if visible.strip() else "(empty name)"


def _visible(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)  # Unicode control pictures
    if code == 0x7F:
        return "\u2421"
    if character in EXPLICIT_BIDI or unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}:
        return f"[U+{code:04X}]"
    if code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF:  # noncharacters: not allowed in HTML
        return f"[U+{code:04X}]"
    return character


def columns_of(text: str) -> int:
    """Character cells a text takes; wide characters count twice."""
    return sum(1 + (unicodedata.east_asian_width(character) in {"W", "F"}) for character in text)


def shorten(text: str, columns: int) -> str:
    """Cut a text to a number of character cells (wide characters count twice).

    Examples
    --------
    >>> shorten("temperature", 6)
    'tempe…'
    """
    used = 0
    for position, character in enumerate(text):
        wide = unicodedata.east_asian_width(character) in {"W", "F"}
        used += 1 + wide
        if used > columns:
            return _cut(text, position, columns)
    return text


def _cut(text: str, position: int, columns: int) -> str:
    used = 0
    for end, character in enumerate(text[:position]):
        used += 1 + (unicodedata.east_asian_width(character) in {"W", "F"})
        if used > columns - 1:
            return text[:end] + "…"
    return text[:position] + "…"


def number(value: float | None, digits: int = 3) -> str:
    """Number with a few significant digits; thousands are grouped, minus is a minus sign.

    Examples
    --------
    >>> number(0.0123456), number(-1234.5), number(float("nan")), number(2.0), number(1.5e-7)
    ('0.0123', '−1,234', 'n/a', '2', '1.5e−7')
    """
    if value is None or math.isnan(value):
        return "n/a"
    if value in (float("inf"), float("-inf")):
        return "∞" if value > 0 else f"{MINUS}∞"
    size = abs(value)
    if size >= 1e7 or 0 < size < 1e-4:
        mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{mantissa}e{int(exponent)}".replace("-", MINUS)
    if size >= 10 ** (digits - 1):
        return f"{value:,.0f}".replace("-", MINUS)
    text = f"{value:.{digits}g}"
    return ("0" if float(text) == 0 else text).replace("-", MINUS)


def count(value: int) -> str:
    """Whole number with grouped thousands."""
    return f"{value:,}"


def plural(number_of: int) -> str:
    """Ending of a regular noun.

    Examples
    --------
    >>> f"1 edge{plural(1)}, 2 edge{plural(2)}"
    '1 edge, 2 edges'
    """
    return "" if number_of == 1 else "s"


def sign(value: float | None, digits: int = 3) -> str:
    """Number with its sign always shown.

    Examples
    --------
    >>> sign(0.5), sign(-0.5), sign(0.0)
    ('+0.5', '−0.5', '0')
    """
    text = number(value, digits)
    return f"+{text}" if value is not None and value > 0 and text != "0" else text


def percent(share: float | None) -> str:
    """Share of one as a percentage.

    Examples
    --------
    >>> percent(0.423), percent(0.0423), percent(0.0002), percent(0.0), percent(-0.1), percent(0.996)
    ('42 %', '4.2 %', '< 0.1 %', '0 %', '−10 %', '99.6 %')
    """
    if share is None or math.isnan(share):
        return "n/a"
    value = 100.0 * share
    size = abs(value)
    if size < 0.1:
        text = "0" if size == 0 else "< 0.1"
        return f"{text} %"
    if 99.9 < size < 100:  # never rounded to all
        return "> 99.9 %"
    text = f"{size:.1f}" if size < 9.95 or 99 < size < 100 else f"{size:.0f}"
    return f"{MINUS if value < 0 else ''}{text} %"


def p_value(value: float) -> str:
    """Probability, never printed as zero.

    Examples
    --------
    >>> p_value(0.0004), p_value(0.04)
    ('< 0.001', '0.04')
    """
    return "< 0.001" if value < 0.001 else f"{value:.2g}"


def interval(estimate: Estimate, *, signed: bool = False) -> str:
    """Estimate with its 95 % interval.

    Examples
    --------
    >>> interval(Estimate(value=0.25, low=0.2, high=0.31))
    '0.25 (0.2 to 0.31)'
    """
    form = sign if signed else number
    return f"{form(estimate.value)} ({form(estimate.low)} to {form(estimate.high)})"


def join(words: Sequence[str], most: int = 6) -> str:
    """List in a sentence, with what was left out counted.

    Examples
    --------
    >>> join(["a", "b", "c"]), join(["a", "b", "c"], most=2), join([])
    ('a, b and c', 'a, b and 1 more', 'none')
    """
    if not words:
        return "none"
    if len(words) > most:
        return f"{', '.join(words[:most])} and {len(words) - most} more"
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
