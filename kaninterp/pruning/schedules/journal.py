"""The folder of a run: whatever took long is kept there, so that a killed run goes on and ends the same, bit for bit.

A schedule is a plain, deterministic function. Resumed, it runs again from the top; what it finds in the journal is read
instead of computed, and the epoch it was killed in goes on from the checkpoint of `training.fit`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from kaninterp.core import PrunePlan
from kaninterp.core.errors import FileFormatError, InputError
from kaninterp.training.checkpoint import Checkpoint

__all__ = ["Journal"]

HEAD = "run.safetensors"
"""The file that says which run the folder belongs to."""


class Journal:
    """Results of the actions of a run, numbered 1, 2, ... in the order they were asked for.

    Parameters
    ----------
    folder
        Made if its parent exists. None: nothing is kept.
    fingerprint
        JSON-able description of schedule, model and data: a folder is only resumed by the run it belongs to.
    resume
        False: forget what the folder holds of an earlier run.

    Raises
    ------
    InputError
        The folder cannot be made or written to.
    StateError
        It belongs to another run; the message says what differs.
    FileFormatError
        It is damaged.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, fingerprint: dict[str, Any], *, resume: bool) -> None:
        self._folder = None if folder is None else Path(folder)
        self._fingerprint = fingerprint
        self._number = 0
        if self._folder is None:
            return
        if not self._folder.is_dir():
            _make(self._folder)
        head = Checkpoint(self._folder / HEAD, fingerprint)
        if not resume:
            _clear(self._folder)
        if head.load() is None:
            _clear(self._folder)  # files without a head are of a run that was never begun, or of another one
            head.save({})

    def trained(self, model: nn.Module, train: Callable[[Path | None], None]) -> None:
        """Train a model in place, or give it the weights that the same training has led to before.

        ``train`` is called with the file for its own checkpoint, None where nothing is kept.
        """
        place = self._next("fit")
        if place is None:
            train(None)
            return
        done = Checkpoint(place, self._fingerprint)
        state = done.load()
        if state is not None:
            _load(model, state, place)
            return
        running = place.with_suffix(".part")
        train(running)
        done.save({"model": dict(model.state_dict())})
        running.unlink(missing_ok=True)

    def plan(self, make: Callable[[], PrunePlan]) -> PrunePlan:
        """Decide, or repeat the decision."""
        place = self._next("plan")
        if place is None:
            return make()
        place = place.with_suffix(".npz")
        if place.exists():
            return PrunePlan.load(place)
        plan = make()
        plan.save(place)
        return plan

    def measured(self, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Measure numbers, or read them: what depends on the clock stays what it was."""
        place = self._next("numbers")
        if place is None:
            return measure()
        file = Checkpoint(place, self._fingerprint)
        numbers = file.load()
        if numbers is None:
            numbers = measure()
            file.save(numbers)
        return numbers

    def _next(self, kind: str) -> Path | None:
        self._number += 1
        return None if self._folder is None else self._folder / f"{self._number:04d}-{kind}.safetensors"


def _make(folder: Path) -> None:
    try:
        folder.mkdir()
    except OSError as error:
        raise InputError(
            f"checkpoint: cannot make the folder {str(folder)!r} ({error}); make its parent first"
        ) from error


def _clear(folder: Path) -> None:
    """Delete the files of a journal, and no others."""
    for pattern in (HEAD, "????-fit.*", "????-plan.npz", "????-numbers.safetensors"):
        for file in folder.glob(pattern):
            file.unlink()


def _load(model: nn.Module, state: dict[str, Any], place: Path) -> None:
    try:
        model.load_state_dict(state["model"])
    except (KeyError, RuntimeError, TypeError) as error:
        raise FileFormatError(f"{str(place)!r} does not fit the model; delete it to train again: {error}") from error
