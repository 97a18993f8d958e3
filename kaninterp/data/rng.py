"""Measure without disturbing anybody's random numbers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral

import numpy as np
import torch

from kaninterp.core.errors import InputError, InputTypeError

__all__ = ["check_seed", "preserved_rng"]


def check_seed(seed: object) -> None:
    """Refuse seeds that are not whole numbers of 0 or more.

    Raises
    ------
    InputTypeError, InputError
    """
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        raise InputTypeError(f"seed: expected a whole number of 0 or more, got {type(seed).__name__}.")
    if seed < 0:
        raise InputError(f"seed: expected a whole number of 0 or more, got {seed}.")


@contextmanager
def preserved_rng(seed: int | None = None) -> Iterator[None]:
    """Give every global random generator back as it was found, bit for bit.

    Covers torch on the CPU, torch on every CUDA device that is already in use (CUDA is never woken up for
    this), numpy's legacy global generator and the standard library's `random`. Iterating a shuffling
    `torch.utils.data.DataLoader` draws from torch's global generator, and so does dropout: whoever iterates
    or runs user code on behalf of the user does so inside this context.

    Parameters
    ----------
    seed
        Seed all of them on entry. None: go on from the state found, and give that state back at the end.

    Examples
    --------
    >>> import torch
    >>> before = torch.get_rng_state()
    >>> with preserved_rng():
    ...     noise = torch.randn(3)
    >>> bool((torch.get_rng_state() == before).all())
    True
    """
    cpu = torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if _cuda_in_use() else []
    legacy = np.random.get_state()  # noqa: NPY002 - the legacy global state is what must be given back
    plain = random.getstate()
    try:
        if seed is not None:
            _seed_all(seed)
        yield
    finally:
        torch.set_rng_state(cpu)
        for device, state in enumerate(cuda):
            torch.cuda.set_rng_state(state, device)
        np.random.set_state(legacy)  # noqa: NPY002
        random.setstate(plain)


def _seed_all(seed: int) -> None:
    # torch.manual_seed would also seed CUDA lazily, after this context has ended
    torch.default_generator.manual_seed(seed)
    if _cuda_in_use():
        torch.cuda.manual_seed_all(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    random.seed(seed)


def _cuda_in_use() -> bool:
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
