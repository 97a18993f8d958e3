"""A KAN on disk: the head as safetensors, the rows it is measured on beside it. No pickle, nothing executed."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kaninterp.core.disk import check_is_file, write_atomically
from kaninterp.core.errors import FileFormatError
from kaninterp.nn import KANHead, load_head, save_head

from .spelling import OWN

__all__ = ["read_checkpoint", "write_checkpoint"]

HEAD, ROWS = "_head.safetensors", "_rows.npz"
"""What is added to the path that was asked for."""
VERSION = 1


def write_checkpoint(path: str | os.PathLike[str], head: KANHead, rows: Tensor | None, facts: dict[str, Any]) -> None:
    """Write ``<path>_head.safetensors`` and ``<path>_rows.npz``, with the parameters that are not trained.

    Parameters
    ----------
    path
        Start of both names; its folder must be there.
    head, rows
        What is kept.
    facts
        JSON-able values beside them.

    Raises
    ------
    FileAccessError
        The folder is not there or cannot be written to.
    """
    start = os.fspath(path)
    save_head(head, start + HEAD)
    frozen = [name for name, parameter in head.named_parameters() if not parameter.requires_grad]
    text = json.dumps({"version": VERSION, **facts, "frozen": frozen})
    held = np.zeros((0, head.in_features)) if rows is None else rows.detach().cpu().double().numpy()
    buffer = io.BytesIO()
    np.savez(buffer, rows=held, facts=np.frombuffer(text.encode(), dtype=np.uint8))
    write_atomically(Path(start + ROWS), buffer.getvalue())


def read_checkpoint(path: str | os.PathLike[str]) -> tuple[KANHead, Tensor | None, dict[str, Any]]:
    """Read what `write_checkpoint` wrote; nothing is seeded.

    Raises
    ------
    MissingFileError
        One of the files is not there.
    FileFormatError
        It is damaged, was written by a newer version, or does not fit the head.
    """
    start = os.fspath(path)
    for end in (HEAD, ROWS):
        check_is_file(Path(start + end))
    head = load_head(start + HEAD, families=tuple(OWN.values()))
    try:
        with np.load(start + ROWS, allow_pickle=False) as file:
            rows, facts = file["rows"], json.loads(bytes(file["facts"]).decode())
    except Exception as error:
        raise FileFormatError(
            f"{start + ROWS!r} is damaged or something else ({error}); save the model again"
        ) from error
    if not isinstance(facts, dict) or facts.get("version") != VERSION:
        raise FileFormatError(f"{start + ROWS!r} is not of version {VERSION}; update kaninterp or save again")
    if rows.ndim != 2 or rows.shape[1] != head.in_features or not np.isfinite(rows).all():
        raise FileFormatError(
            f"{start + ROWS!r} holds rows of shape {rows.shape}, the head reads {head.in_features} inputs; the two "
            "files belong to different models"
        )
    _freeze(head, facts.pop("frozen", []), start + ROWS)
    seed = facts.get("seed", 0)
    if type(seed) is not int or seed < 0:
        raise FileFormatError(f"{start + ROWS!r} has the seed {seed!r}, expected a whole number from 0 on; save again")
    return head, torch.from_numpy(rows).to(head.kan_layers[0].weight.dtype) if len(rows) else None, facts


def _freeze(head: KANHead, frozen: Any, path: str) -> None:
    """Switch off the training of some parameters, by name; none if the file was written before they were kept."""
    parameters = dict(head.named_parameters())
    if not isinstance(frozen, list) or not all(type(name) is str and name in parameters for name in frozen):
        raise FileFormatError(
            f"{path!r} names frozen parameters {str(frozen)[:200]} that the head has not; the two files belong to "
            "different models"
        )
    for name in frozen:
        parameters[name].requires_grad_(False)
