"""Nested state (dicts, lists, tensors, numbers) as named tensors plus JSON, and back; nothing is ever executed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from kaninterp.core.errors import FileFormatError, StateError

__all__ = ["packed", "unpacked"]

Tree = Any
"""None, bool, int, float, str, tensors, numpy arrays, and dicts (str or int keys), lists and tuples of them."""

MAX_DEPTH = 32


def packed(tree: Tree) -> tuple[Any, dict[str, Tensor]]:
    """Split a nested state into JSON-able structure and its tensors.

    Raises
    ------
    StateError
        Something in it is neither a number, a text, a tensor nor a container of those.

    Examples
    --------
    >>> structure, tensors = packed({"step": 3, "moments": [torch.ones(2)]})
    >>> unpacked(structure, tensors)
    {'step': 3, 'moments': [tensor([1., 1.])]}
    """
    tensors: dict[str, Tensor] = {}
    return _pack(tree, tensors, "state"), tensors


def unpacked(structure: Any, tensors: dict[str, Tensor]) -> Tree:
    """Put a nested state together again.

    Raises
    ------
    FileFormatError
        The structure is not one that `packed` makes, or a tensor is missing.
    """
    return _unpack(structure, tensors, 0)


def _pack(value: Tree, tensors: dict[str, Tensor], path: str) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray):
        return ["array", str(value.dtype), _pack(torch.from_numpy(value.astype(np.int64)), tensors, path)]
    if isinstance(value, Tensor):
        name = str(len(tensors))
        # a copy of its own: files refuse tensors that share memory
        tensors[name] = value.detach().cpu().contiguous().clone()
        return ["tensor", name]
    if isinstance(value, dict):
        return ["dict", [[_key(k, path), _pack(v, tensors, f"{path}[{k!r}]")] for k, v in value.items()]]
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return [kind, [_pack(v, tensors, f"{path}[{k}]") for k, v in enumerate(value)]]
    raise StateError(
        f"{path} is a {type(value).__name__}, which a checkpoint cannot hold; allowed: tensors, numbers, texts, and "
        "dicts and lists of them."
    )


def _key(key: object, path: str) -> str | int:
    if isinstance(key, str | int) and not isinstance(key, bool):
        return key
    raise StateError(f"{path} has the key {key!r}; a checkpoint holds text and whole-number keys only.")


def _unpack(node: Any, tensors: dict[str, Tensor], depth: int) -> Tree:
    if node is None or isinstance(node, bool | int | float | str):
        return node
    if depth > MAX_DEPTH or not isinstance(node, list) or len(node) < 2:
        raise FileFormatError("the checkpoint is damaged: its structure cannot be read.")
    kind, parts = node[0], node[1]
    if kind == "tensor" and isinstance(parts, str) and parts in tensors:
        return tensors[parts]
    if kind == "array" and len(node) == 3 and parts in ("uint32", "int64"):
        values = _unpack(node[2], tensors, depth + 1)
        if isinstance(values, Tensor):
            return values.numpy().astype(parts)
    if kind in ("list", "tuple") and isinstance(parts, list):
        items = [_unpack(part, tensors, depth + 1) for part in parts]
        return items if kind == "list" else tuple(items)
    if kind == "dict" and isinstance(parts, list) and all(_is_pair(pair) for pair in parts):
        return {pair[0]: _unpack(pair[1], tensors, depth + 1) for pair in parts}
    raise FileFormatError("the checkpoint is damaged: its structure and its tensors do not belong together.")


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str | int)
