"""How numbers and lists of names are written in a sentence: short, and never in two ways."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["became", "counted", "listed", "number", "percent", "q_words", "range_words", "shown", "signed"]

LONGEST_LIST = 5  # names in one sentence; a reader skips longer ones
MINUS = "\u2212"
LONGEST_NAME = 60  # characters of a name in a sentence; the whole name is in the tables


def number(value: float) -> str:
    """Three significant digits, thousands grouped, a minus that is one.

    Examples
    --------
    >>> number(0.012345), number(-1234.5), number(0.0), number(1.2e-7)
    ('0.0123', '−1,234', '0', '1.2e−7')
    """
    if value == 0:
        return "0"
    if 1000 <= abs(value) < 1e6:
        return f"{value:,.0f}".replace("-", MINUS)
    mantissa, e, exponent = f"{value:.3g}".partition("e")
    return f"{mantissa}{e}{int(exponent) if e else ''}".replace("-", MINUS)


def signed(value: float) -> str:
    """A difference: its sign is always there.

    Examples
    --------
    >>> signed(0.5), signed(-0.5), signed(0.0)
    ('+0.5', '−0.5', '0')
    """
    return f"+{number(value)}" if value > 0 else number(value)


def range_words(low: float, high: float) -> str:
    """A 95 % interval of a difference.

    Examples
    --------
    >>> range_words(-0.1, 0.2)
    '95 % interval −0.1 to +0.2'
    """
    return f"95 % interval {signed(low)} to {signed(high)}"


def q_words(q: float) -> str:
    """A false discovery rate.

    Examples
    --------
    >>> q_words(0.41), q_words(1e-5)
    ('q = 0.41', 'q < 0.001')
    """
    return "q < 0.001" if q < 1e-3 else f"q = {q:.2g}"


def became(before: tuple[float, float], now: tuple[float, float]) -> str:
    """What became of a constant, by the smallest and the largest value then and now; "" of anything else.

    Examples
    --------
    >>> became((2, 2), (2, 2)), became((2, 2), (3, 3)), became((2, 2), (2.0001, 2.0001))
    ('', 'was constant at 2, now at 3', 'was constant at 2, now at 2.0001')
    >>> became((2, 2), (1.5, 2)), became((1, 2), (1, 3))
    ('was constant at 2, now varies from 1.5 to 2', '')
    """
    (old, high), (first, last) = before, now
    if old < high or (first == last == old):
        return ""
    told = {number(value) for value in (old, first, last)}
    alike = len(told) < len({old, first, last})

    def write(value: float) -> str:
        return f"{value:.12g}".replace("-", MINUS) if alike else number(value)

    said = f"at {write(first)}" if first == last else f"varies from {write(first)} to {write(last)}"
    return f"was constant at {write(old)}, now {said}"


def percent(share: float) -> str:
    """A share in percent, with no digit that says nothing.

    Examples
    --------
    >>> percent(0.4321), percent(0.0321), percent(0.05), percent(0.00001), percent(0.0), percent(0.9999)
    ('43 %', '3.2 %', '5 %', '< 0.1 %', '0 %', '> 99.9 %')
    """
    points = 100 * share
    if points == 0:
        return "0 %"
    if 0 < points < 0.1:
        return "< 0.1 %"
    if 99.9 < points < 100:
        return "> 99.9 %"
    text = (
        f"{points:.1f}".replace("-", MINUS)
        if abs(points) < 10 or 99 < points < 100
        else f"{points:.0f}".replace("-", MINUS)
    )
    return f"{text.removesuffix('.0')} %"


def listed(names: Iterable[str], most: int = LONGEST_LIST) -> str:
    """Names in a sentence.

    Examples
    --------
    >>> listed(["a"]), listed("ab"), listed("abcdefg", 3)
    ('a', 'a and b', 'a, b, c and 4 more')
    """
    names = [shown(name) for name in names]
    if not names:
        return "none"
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def shown(name: str) -> str:
    """A name as it stands in a sentence: one line, quoted if it is blank, cut if it is endless.

    Examples
    --------
    >>> shown("temp"), shown(" "), shown("a" * 80)[-3:]
    ('temp', "' '", 'aa…')
    """
    if not name.strip():
        return repr(name)
    line = " ".join(name.split())
    return line if len(line) <= LONGEST_NAME else line[: LONGEST_NAME - 1] + "…"


def counted(items: Sequence[object] | int, one: str, many: str = "") -> str:
    """A number and its noun.

    Examples
    --------
    >>> counted(1, "edge"), counted([1, 2], "edge"), counted(0, "entry", "entries")
    ('1 edge', '2 edges', '0 entries')
    """
    count = items if isinstance(items, int) else len(items)
    return f"{count:,} {one if count == 1 else many or one + 's'}"
