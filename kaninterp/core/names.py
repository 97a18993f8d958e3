"""Names of inputs, units and outputs: checked once, carried everywhere, never interpreted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from numbers import Integral

from .errors import InputTypeError, NamesError

__all__ = ["check_names", "default_names", "find_name"]


def check_names(names: Iterable[object] | None, count: int, *, what: str, prefix: str) -> tuple[str, ...]:
    """Turn a user's names into a tuple of ``count`` different strings.

    Parameters
    ----------
    names : iterable or None
        Strings, or anything ``str`` understands (integer column labels); None makes ``prefix0, prefix1, ...``.
    count : int
        How many names are needed.
    what : str
        What is named, for the error ("feature_names").
    prefix : str
        Prefix of the names made up when there are none.

    Returns
    -------
    tuple of str

    Raises
    ------
    NamesError
        Too few, too many or duplicated names, or one string where a list was meant.
    InputTypeError
        Something that is not a list at all.

    Examples
    --------
    >>> check_names(["temp", 7], 2, what="feature_names", prefix="x")
    ('temp', '7')
    >>> check_names(None, 2, what="feature_names", prefix="x")
    ('x0', 'x1')
    """
    if names is None:
        return default_names(prefix, count)
    if isinstance(names, (str, bytes)):
        raise NamesError(f"{what}: expected a list of {count} names, got the single text {names!r}; put it in a list")
    if not isinstance(names, Iterable):
        raise InputTypeError(f"{what}: expected a list of {count} names, got {type(names).__name__}")
    listed = tuple(str(name) for name in names)
    if len(listed) != count:
        raise NamesError(f"{what}: the data has {count} columns, got {len(listed)} names; give one name per column")
    repeated = sorted(name for name, times in Counter(listed).items() if times > 1)
    if repeated:
        raise NamesError(f"{what}: names must differ, got {repeated[:5]} more than once; rename or drop the duplicates")
    return listed


def default_names(prefix: str, count: int) -> tuple[str, ...]:
    """Names made of a prefix and a running number: ``x0, x1, ...``."""
    return tuple(f"{prefix}{i}" for i in range(count))


def find_name(name: str | int, names: tuple[str, ...], *, what: str) -> int:
    """Position of a name, or of an index, in ``names``.

    Raises
    ------
    NamesError
        The name or index is not there.

    Examples
    --------
    >>> find_name("b", ("a", "b"), what="input")
    1
    """
    if isinstance(name, Integral) and not isinstance(name, bool):  # numpy's integers too
        name = int(name)
        if 0 <= name < len(names):
            return name
        raise NamesError(f"{what}: index {name} is outside 0..{len(names) - 1}")
    if name in names:
        return names.index(str(name))
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    raise NamesError(f"{what}: no {name!r} here; known are: {shown}")
