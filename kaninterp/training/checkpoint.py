"""One safetensors file that holds a whole run; written so that being killed at any moment loses one epoch at most."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from safetensors.torch import save

from kaninterp.core.disk import write_atomically
from kaninterp.core.errors import FileFormatError, InputError, StateError
from kaninterp.training.tree import packed, unpacked

__all__ = ["Checkpoint", "random_states", "restore_random_states"]

FORMAT = "kaninterp.checkpoint"
VERSION = 1


class Checkpoint:
    """A file that a run is saved to and resumed from.

    Parameters
    ----------
    path
        Where. Its folder must exist and be writable: found out now, not after the first epoch.
    fingerprint
        JSON-able description of options, data and model: a file is only resumed by the run it belongs to.

    Raises
    ------
    InputError
        The folder does not exist, or the path is a folder.
    """

    def __init__(self, path: str | os.PathLike[str], fingerprint: dict[str, Any]) -> None:
        self.path = Path(path)
        self.fingerprint = json.loads(json.dumps(fingerprint))
        if self.path.is_dir() or not self.path.parent.is_dir():
            raise InputError(f"checkpoint: expected a file in an existing folder, got {str(self.path)!r}.")
        if not os.access(self.path.parent, os.W_OK):
            raise InputError(f"checkpoint: the folder {str(self.path.parent)!r} cannot be written to.")

    def save(self, state: dict[str, Any]) -> None:
        """Replace the file in one step: whoever reads it sees the old state or the new one, never half of one."""
        structure, tensors = packed(state)
        metadata = {
            "format": FORMAT,
            "version": str(VERSION),
            "fingerprint": json.dumps(self.fingerprint),
            "structure": json.dumps(structure),
        }
        write_atomically(self.path, save(tensors, metadata))

    def load(self) -> dict[str, Any] | None:
        """Read the state; None if there is no file yet.

        Raises
        ------
        FileFormatError
            Damaged, foreign, or of another version.
        StateError
            It belongs to another model, other options or other data; the message says what differs.
        """
        if not self.path.exists():
            return None
        metadata, tensors = self._read()
        if metadata.get("format") != FORMAT:
            raise FileFormatError(f"{str(self.path)!r} is not a checkpoint of kaninterp; choose another path.")
        if metadata.get("version") != str(VERSION):
            raise FileFormatError(
                f"{str(self.path)!r} has checkpoint version {metadata.get('version')!r}, this kaninterp reads "
                f"{VERSION}; delete it to start anew."
            )
        self._compare(_json(metadata, "fingerprint", self.path))
        state = unpacked(_json(metadata, "structure", self.path), tensors)
        if not isinstance(state, dict):
            raise FileFormatError(f"{str(self.path)!r} is damaged: it holds no state.")
        return state

    def _read(self) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
        try:
            with safetensors.safe_open(str(self.path), framework="pt") as file:
                metadata = file.metadata() or {}
                # copies: tensors in a file start anywhere in memory, and the order of a sum's rounding depends on it
                return metadata, {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        except (safetensors.SafetensorError, OSError, ValueError) as error:
            raise FileFormatError(
                f"{str(self.path)!r} cannot be read as a checkpoint ({error}); delete it to start anew."
            ) from error

    def _compare(self, found: Any) -> None:
        if not isinstance(found, dict):
            raise FileFormatError(f"{str(self.path)!r} is damaged: it does not say what it belongs to.")
        differences = list(_differences(found, self.fingerprint, ""))
        if differences:
            raise StateError(
                f"{str(self.path)!r} belongs to another run: "
                f"{'; '.join(differences[:5])}{' ...' if len(differences) > 5 else ''}. Resume with the same model, "
                "options and data, pass resume=False to overwrite it, or choose another path."
            )


def random_states() -> dict[str, Any]:
    """State of the global generators that models and Datasets draw from."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() and _cuda_in_use() else []
    return {
        "torch": torch.get_rng_state(),
        "cuda": cuda,
        "numpy": np.random.get_state(),  # noqa: NPY002 - the legacy global state is what Datasets draw from
        "python": random.getstate(),
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Go on from `random_states()`.

    Raises
    ------
    FileFormatError
        They are not states of generators.
    """
    try:
        torch.set_rng_state(states["torch"])
        for device, state in enumerate(states["cuda"]):
            torch.cuda.set_rng_state(state, device)
        np.random.set_state(states["numpy"])  # noqa: NPY002
        random.setstate(states["python"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise FileFormatError(f"the checkpoint is damaged: no random states ({error}).") from error


def _cuda_in_use() -> bool:
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


def _json(metadata: dict[str, str], key: str, path: Path) -> Any:
    try:
        return json.loads(metadata[key])
    except (KeyError, ValueError, RecursionError) as error:
        raise FileFormatError(f"{str(path)!r} is damaged: {key} cannot be read.") from error


def _differences(found: Any, wanted: Any, path: str) -> Any:
    """Say in words where two descriptions differ."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in sorted({*found, *wanted}):
            yield from _differences(found.get(key), wanted.get(key), f"{path} {key}".strip())
    elif found != wanted:
        yield f"{path} is {_short(found)} in the file and {_short(wanted)} now"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
