"""Names of raw columns: brought by tables, given by the user, or made up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from torch import Tensor

from kaninterp.core.errors import InputTypeError, NamesError
from kaninterp.data.batch import Batch

__all__ = ["check_order", "name_columns", "width"]

MAX_NAMED = 12  # names spelt out in a message; more is noise


def width(tensor: Tensor) -> int:
    """Count the raw columns of one input: its last dimension; 1 for (B,) and for indices of any shape."""
    return 1 if tensor.ndim == 1 or not tensor.is_floating_point() else int(tensor.shape[-1])


def name_columns(
    batch: Batch, known: tuple[tuple[str, ...] | None, ...], given: Sequence[str] | None
) -> tuple[tuple[str, ...], ...]:
    """Per input of the batch, the names of its raw columns.

    Parameters
    ----------
    batch
        Any batch of the data.
    known
        Per input, the names it brought along (DataFrame columns), or None.
    given
        Flat names from the user. Tables keep their own: names given for them must say the same.

    Returns
    -------
    tuple of tuples of str
        Without names from anybody: x0, x1, ... for a single input; "input0.0", ... for several; "key.0",
        ... under a key, or just "key" where it holds a single column or indices.

    Raises
    ------
    NamesError
        Wrong count, duplicates, empty names, or names that contradict a table's.
    """
    own = tuple(
        _own_names(k, tensor, batch.keys, known[k], single=len(batch.inputs) == 1)
        for k, tensor in enumerate(batch.inputs)
    )
    if given is None:
        _check_names([name for names in own for name in names], "the data's column names")
        return own
    flat = _check_given(given, sum(len(names) for names in own))
    parts, start = [], 0
    for k, names in enumerate(own):
        part = tuple(flat[start : start + len(names)])
        if known[k] is not None and part != names:
            pairs = [pair for pair in zip(names, part, strict=True) if pair[0] != pair[1]][:MAX_NAMED]
            raise NamesError(
                f"names: the DataFrame has its own, {[own for own, _ in pairs]}, and the ones given say "
                f"{[said for _, said in pairs]}; rename its columns (frame.rename) or leave names out."
            )
        parts.append(part)
        start += len(names)
    return tuple(parts)


def check_order(names: tuple[str, ...], own: tuple[str, ...]) -> None:
    """Refuse columns that are those of a model in another order.

    Raises
    ------
    NamesError
        The names are the model's ``own``, but not in its order.
    """
    if names != own and set(names) == set(own):
        raise NamesError(
            f"columns {list(names)[:MAX_NAMED]} are the input names of the model in another order, "
            f"{list(own)[:MAX_NAMED]}, and a model takes columns by position; put them in its order: "
            "data[list(head.input_names)], with the target if it is a column too"
        )


def _own_names(
    k: int, tensor: Tensor, keys: tuple[str, ...] | None, known: tuple[str, ...] | None, *, single: bool
) -> tuple[str, ...]:
    prefix = f"{keys[k]}." if keys is not None else ("" if single else f"input{k}.")
    if known is not None:
        return tuple(prefix + name for name in known)
    if keys is not None and (width(tensor) == 1):
        return (keys[k],)
    return tuple(f"{prefix or 'x'}{i}" for i in range(width(tensor)))


def _check_given(given: Sequence[str], count: int) -> list[str]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InputTypeError(f"names: expected a sequence of names, got {type(given).__name__} {given!r}.")
    flat = list(given)
    if len(flat) != count:
        shown = f"{flat[:MAX_NAMED]}"[:-1] + (", ...]" if len(flat) > MAX_NAMED else "]")
        raise NamesError(f"names: the data have {count} raw columns, got {len(flat)} names: {shown}.")
    _check_names(flat, "names")
    return flat


def _check_names(names: Sequence[object], what: str) -> None:
    wrong = [name for name in names if not isinstance(name, str) or not name.strip()]
    if wrong:
        raise NamesError(f"{what}: every name must be a text that is not empty, got {wrong}.")
    twice = sorted(str(name) for name, count in Counter(names).items() if count > 1)
    if twice:
        raise NamesError(f"{what}: duplicated names {twice[:MAX_NAMED]}; every raw column needs its own.")
