"""What a KANHead is made of and given: widths, selections, node numbers, names and inputs, checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from kaninterp.core.errors import InputError, InputTypeError, NamesError, PlanError, ShapeError, StateError
from kaninterp.core.families import Family, families_of

__all__ = [
    "check_input",
    "check_lists",
    "checked_edge",
    "checked_formulas",
    "checked_ids",
    "checked_names",
    "checked_select",
    "checked_widths",
]


def checked_widths(widths: tuple[Any, ...]) -> tuple[int, ...]:
    """Return the widths of layers as plain integers if all are whole numbers of 1 or more (numpy's too)."""
    if any(isinstance(width, bool) or not isinstance(width, Integral) or width < 1 for width in widths):
        raise InputError(f"all widths of a KANHead must be whole numbers of 1 or more, got {widths}")
    return tuple(int(width) for width in widths)


def check_lists(**lists: Any) -> None:
    """Refuse what is no list where one is meant: hidden=3, select=2; None is for the optional ones."""
    if lists.get("hidden", ()) is None:
        raise InputTypeError(
            "hidden: expected a list of widths such as hidden=(8,), or () for no hidden layer, got None"
        )
    domain = lists.get("domain")
    if isinstance(domain, Iterable) and not isinstance(domain, str) and len(tuple(domain)) != 2:
        raise InputError(f"domain: expected two ends (lo, hi), got {domain!r}")
    for name, value in lists.items():
        if value is not None and (isinstance(value, str) or not isinstance(value, Iterable)):
            raise InputTypeError(f"{name}: expected a list such as {name}=({value!r},), got {type(value).__name__}")


def checked_select(select: Sequence[int] | None, in_features: int) -> tuple[int, ...] | None:
    """Return the numbers of the inputs that are read, as a tuple, if they are ascending and exist."""
    if select is None:
        return None
    if not all(isinstance(column, Integral) for column in select):
        raise InputTypeError(f"select: expected whole input numbers, got {tuple(select)}")
    chosen = tuple(int(column) for column in select)
    ascending = all(a < b for a, b in pairwise(chosen))
    if not chosen or not ascending or chosen[0] < 0 or chosen[-1] >= in_features:
        raise PlanError(
            f"to read: one or more ascending input numbers from 0 to {in_features - 1}; got select={chosen}"
        )
    return chosen


def checked_ids(
    node_ids: Sequence[Sequence[int]] | None, widths: tuple[int, ...], select: tuple[int, ...] | None
) -> tuple[tuple[int, ...], ...] | None:
    """Return the original node numbers per layer as tuples, if they fit the widths and the selection."""
    if node_ids is None:
        return None
    ids = tuple(tuple(int(number) for number in layer) for layer in node_ids)
    if tuple(map(len, ids)) != widths or any(len(set(layer)) != len(layer) for layer in ids):
        raise PlanError(f"node_ids must hold distinct numbers for layers of {widths} nodes, got {tuple(map(len, ids))}")
    if ids[0] != (select if select is not None else tuple(range(widths[0]))):
        raise PlanError(f"node_ids[0] must be the inputs that are read, {select or 'all'}, got {ids[0]}")
    return ids


def checked_names(names: Any, count: int, what: str) -> tuple[str, ...] | None:
    """Return `count` different names as a tuple."""
    if names is None:
        return None
    listed = tuple(names) if isinstance(names, Iterable) and not isinstance(names, str) else ()
    if not listed or not all(isinstance(name, str) and name for name in listed):
        raise NamesError(f"{what} names must be a list of texts that are not empty, got {names!r}")
    if len(listed) != count or len(set(listed)) != len(listed):
        raise NamesError(f"{what} names must be {count} different texts, got {len(listed)}: {list(listed)[:20]}")
    return listed


def checked_edge(edge: Any, widths: Sequence[int]) -> tuple[int, int, int]:
    """Return an edge (layer, dst, src) as plain integers if a head of these widths has it."""
    try:
        layer, dst, src = edge
    except (TypeError, ValueError):
        raise InputTypeError(f"an edge is three whole numbers (layer, dst, src), got {edge!r}") from None
    if not all(isinstance(number, Integral) and not isinstance(number, bool) for number in (layer, dst, src)):
        raise InputTypeError(f"an edge is three whole numbers (layer, dst, src), got {edge!r}")
    if not 0 <= layer < len(widths) - 1:
        raise InputError(f"there is no edge {tuple(edge)}: the head has layers 0 to {len(widths) - 2}")
    if not (0 <= dst < widths[layer + 1] and 0 <= src < widths[layer]):
        raise InputError(
            f"there is no edge {tuple(edge)}: layer {layer} has dst 0 to {widths[layer + 1] - 1} and src 0 to "
            f"{widths[layer] - 1} (places in this head, as in its trace)"
        )
    return int(layer), int(dst), int(src)


def checked_formulas(formulas: Any, widths: tuple[int, ...]) -> dict[int, dict[tuple[int, int], Family]]:
    """Return which edges are formulas of which family, as layer -> (dst, src) -> family."""
    found: dict[int, dict[tuple[int, int], Family]] = {}
    for each in formulas or ():
        if not isinstance(each, Sequence) or isinstance(each, str) or len(each) != 4:
            raise InputTypeError(f"formulas: expected (layer, dst, src, family) for each, got {each!r}")
        layer, dst, src = checked_edge(each[:3], widths)
        edges = found.setdefault(layer, {})
        if (dst, src) in edges:
            raise InputError(f"formulas: edge {(layer, dst, src)} is there twice; give it one formula")
        (edges[dst, src],) = families_of([each[3]])
    return found


def check_input(x: Any, in_features: int, weight: Tensor) -> None:
    """Refuse what a head of `in_features` inputs and these weights cannot read.

    Parameters
    ----------
    x
        What arrived; fine is a float tensor (..., in_features) of the device and dtype of `weight` (any
        float dtype within autocast).
    in_features
        Width the head accepts.
    weight
        One of its weights.
    """
    if not isinstance(x, Tensor):
        raise InputTypeError(
            f"KANHead takes a tensor (..., {in_features}), got {type(x).__name__}; on top of an LSTM use "
            "kaninterp.Hybrid, or give it the LSTM's first output"
        )
    if x.dim() == 0 or x.shape[-1] != in_features:
        raise ShapeError(f"KANHead reads inputs of width {in_features} on the last axis, got shape {tuple(x.shape)}")
    if x.device != weight.device:
        raise StateError(f"KANHead is on {weight.device}, its input on {x.device}; move one of them")
    if not x.is_floating_point():
        raise InputTypeError(f"KANHead needs float inputs, got {x.dtype}; convert with x.to({weight.dtype})")
    if x.dtype != weight.dtype and not torch.is_autocast_enabled(x.device.type):
        raise InputTypeError(
            f"KANHead has {weight.dtype} weights, its input is {x.dtype}; convert one of them: "
            f"x.to({weight.dtype}) or head.to({x.dtype})"
        )
