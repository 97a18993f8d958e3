"""Heads on disk: safetensors with the structure as JSON beside the weights; no pickle, nothing executed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from kaninterp.core.disk import check_is_file, write_atomically
from kaninterp.core.errors import FileFormatError, InputError, InputTypeError, KanInterpError
from kaninterp.core.families import FAMILIES, Family, families_of
from kaninterp.nn.head import KANHead
from kaninterp.nn.head_checks import checked_names

__all__ = ["FILE_FORMAT", "load_head", "save_head"]

FILE_FORMAT = 1
"""Version of the layout of the file; a reader refuses newer ones."""

METADATA_KEY = "kaninterp"
MAX_CONFIG_CHARS = 64 * 2**20
"""Longest structure that is parsed; a million names of 60 characters fit."""
MAX_LAYERS = 1024
MAX_WIDTH = 2**24
MAX_GRID = 2**20
"""Limits that keep a hostile file small until its tensors have been compared with its structure."""

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

_CONFIG_TYPES: Mapping[str, tuple[type, ...]] = {
    "in_features": (int,),
    "out_features": (int,),
    "hidden": (list,),
    "grid": (int,),
    "order": (int,),
    "uniform": (bool,),
    "domain": (list, type(None)),
    "outside": (str,),
    "base": (str,),
    "noise": (int, float),
    "moving_domain": (bool,),
    "select": (list, type(None)),
    "node_ids": (list, type(None)),
    "input_names": (list, type(None)),
    "output_names": (list, type(None)),
    "formulas": (list,),
}


def save_head(
    head: KANHead,
    path: str | os.PathLike[str],
    *,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> None:
    """Write a head with its names to a safetensors file, all or nothing.

    Parameters
    ----------
    head
        Not changed.
    path
        The file; an existing one is replaced in one step once the new one is complete.
    input_names, output_names
        Names to write instead of the head's own (`head.input_names`, `head.output_names`).

    Raises
    ------
    NamesError
        Not as many different names as inputs or outputs. FileAccessError (an OSError) if the path cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> head = KANHead(2, 1, input_names=("temp", "wind"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_head(head, Path(folder) / "head.safetensors", output_names=["load"])
    ...     again = load_head(Path(folder) / "head.safetensors")
    >>> again.input_names, again.output_names
    (('temp', 'wind'), ('load',))
    """
    if not isinstance(head, KANHead):
        raise InputTypeError(f"save_head writes a KANHead, got {type(head).__name__}; for a whole model save its parts")
    names = {
        "input_names": input_names if input_names is not None else head.input_names,
        "output_names": output_names if output_names is not None else head.output_names,
    }
    checked_names(names["input_names"], head.in_features, "input")
    checked_names(names["output_names"], head.out_features, "output")
    config = {**head.config, **{key: None if value is None else list(value) for key, value in names.items()}}
    text = json.dumps({"format": FILE_FORMAT, "kind": "KANHead", "config": config}, allow_nan=False)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in head.state_dict().items()}
    write_atomically(Path(path), save(tensors, {METADATA_KEY: text}))


def load_head(
    path: str | os.PathLike[str], device: torch.device | str = "cpu", *, families: Sequence[Family] = ()
) -> KANHead:
    """Read a head that `save_head` wrote.

    Parameters
    ----------
    path
        The file. It may come from anyone: structure and sizes are checked before memory is given to them.
    device
        Where the head goes.
    families
        Families of your own that its formulas use; a file holds their names only, never code.

    Returns
    -------
    KANHead
        With the dtype and the names of the saved one.

    Raises
    ------
    FileFormatError
        Damaged, foreign, contradictory or newer. MissingFileError (a FileNotFoundError) if there is none.
    InputError
        No such device; a formula of a family that is neither in `kaninterp.core.families.FAMILIES` nor given.

    Examples
    --------
    See `save_head`.
    """
    path = Path(path)
    check_is_file(path)
    place = _checked_device(device)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            config = _config_of(file.metadata(), path)
            config["formulas"] = _with_families(config["formulas"], families, path)
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            _check_shapes(config, shapes, path)
            tensors = {name: file.get_tensor(name) for name in shapes}
    except SafetensorError as error:
        raise FileFormatError(f"{path} is not a whole safetensors file: {error}") from None
    _check_values(tensors, path)
    dtype = tensors["layers.0.weight"].dtype
    try:
        head = KANHead(**config, dtype=dtype, generator=torch.Generator())
        head.load_state_dict(tensors)
    except (RuntimeError, KanInterpError) as error:
        raise FileFormatError(f"{path}: its tensors do not fit its structure: {error}") from None
    return head.to(place)


def _with_families(formulas: list[Any], families: Sequence[Family], path: Path) -> list[Any]:
    """Formulas of a file with its families in place of their names."""
    given = {family.name: family for family in families_of(families)} if families else {}
    found = []
    for each in formulas:
        if type(each) is not list or [type(part) for part in each] != [int, int, int, str]:
            raise FileFormatError(f"{path}: a formula is not (layer, dst, src, family)")
        name = each[3]
        if name not in given and name not in FAMILIES:
            raise InputError(
                f"{path} has formulas of the family {name!r}, which is not one of kaninterp's; its function is not in "
                f"the file. Give it: load_head(path, families=[Family(name={name!r}, ...)])"
            )
        found.append([*each[:3], given.get(name, FAMILIES.get(name))])
    return found


def _checked_device(device: torch.device | str) -> torch.device:
    try:
        return torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"device={device!r} is no torch device: {error}; allowed: 'cpu', 'cuda', 'cuda:0', ..."
        ) from None


def _config_of(metadata: Mapping[str, str] | None, path: Path) -> dict[str, Any]:
    text = (metadata or {}).get(METADATA_KEY)
    if text is None:
        raise FileFormatError(f"{path} was not written by kaninterp (it has no {METADATA_KEY!r} metadata)")
    if len(text) > MAX_CONFIG_CHARS:
        raise FileFormatError(f"{path}: its structure has {len(text)} characters, allowed are {MAX_CONFIG_CHARS}")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path}: its structure is not JSON: {error}") from None
    if not isinstance(content, dict) or content.get("kind") != "KANHead":
        raise FileFormatError(f"{path} does not hold a KANHead")
    version = content.get("format")
    if type(version) is not int or not 1 <= version <= FILE_FORMAT:
        raise FileFormatError(
            f"{path} has file format {version!r}, this kaninterp reads 1 to {FILE_FORMAT}; update kaninterp"
        )
    return _checked_config(content.get("config"), path)


def _checked_config(config: Any, path: Path) -> dict[str, Any]:
    if isinstance(config, dict):
        config = {"moving_domain": False, "formulas": [], **config}  # not in all files
    if not isinstance(config, dict) or set(config) != set(_CONFIG_TYPES):
        got = sorted(map(str, config)) if isinstance(config, dict) else type(config).__name__
        raise FileFormatError(f"{path}: the structure must have exactly {sorted(_CONFIG_TYPES)}, got {got}")
    for name, types in _CONFIG_TYPES.items():
        if type(config[name]) not in types:
            raise FileFormatError(f"{path}: {name} has type {type(config[name]).__name__}, which is not allowed")
    widths = [config["in_features"], *config["hidden"], config["out_features"]]
    if len(widths) > MAX_LAYERS or any(type(width) is not int or not 1 <= width <= MAX_WIDTH for width in widths):
        raise FileFormatError(f"{path}: its widths are not up to {MAX_LAYERS} whole numbers from 1 to {MAX_WIDTH}")
    if not 1 <= config["grid"] <= MAX_GRID:
        raise FileFormatError(f"{path}: grid is {config['grid']}, allowed are 1 to {MAX_GRID}")
    domain = config["domain"]
    if domain is not None and [type(end) for end in domain] not in ([float, float], [int, int]):
        raise FileFormatError(f"{path}: domain is not a pair of numbers")
    return config


def _check_shapes(config: Mapping[str, Any], shapes: dict[str, tuple[int, ...]], path: Path) -> None:
    """Compare the tensors of the file with those of the structure, which is built without memory."""
    try:
        bones = KANHead(**{**config, "domain": None}, device="meta")
    except (KanInterpError, TypeError, ValueError, OverflowError) as error:
        raise FileFormatError(f"{path}: its structure is not that of a KANHead: {error}") from None
    wanted = {name: tuple(tensor.shape) for name, tensor in bones.state_dict().items()}
    if shapes != wanted:
        odd = sorted(name for name in {*shapes, *wanted} if shapes.get(name) != wanted.get(name))[:5]
        raise FileFormatError(f"{path}: its tensors do not fit its structure, see {', '.join(odd)}")


def _check_values(tensors: Mapping[str, Tensor], path: Path) -> None:
    dtypes = {
        tensor.dtype for name, tensor in tensors.items() if name.endswith((".weight", ".bias", ".knots", ".numbers"))
    }
    if len(dtypes) != 1 or not dtypes <= set(FLOATS):
        raise FileFormatError(f"{path}: its tensors have dtypes {sorted(map(str, dtypes))}; allowed is one float dtype")
    for name, tensor in tensors.items():
        part = name.rpartition(".")[2]
        good = True
        if part == "knots":
            good = bool(tensor.isfinite().all()) and bool((tensor.diff(dim=1) > 0).all())
        elif part == "mask":
            good = bool(((tensor == 0) | (tensor == 1)).all())
        elif part == "calibrated":
            good = tensor.dtype == torch.bool
        elif part == "pairs":
            good = tensor.dtype == torch.int64
        if not good:
            raise FileFormatError(f"{path}: {name} is not a valid {part}")
