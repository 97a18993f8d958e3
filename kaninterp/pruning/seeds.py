"""Survival over seeds: which inputs come out again when the same model is trained anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn
from tqdm.auto import tqdm

from kaninterp.core.errors import InputError, ModelError
from kaninterp.core.frozen import Array, BoolArray
from kaninterp.core.rank import nogueira
from kaninterp.pruning.choose import choose
from kaninterp.pruning.held_out import parts_of
from kaninterp.training import fit

__all__ = ["SeedSurvival", "nogueira", "survival_over_seeds"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeedSurvival:
    """What survived, seed by seed.

    Attributes
    ----------
    names : tuple of str
        Raw columns.
    seeds : tuple of int
        Of the trainings.
    kept : ndarray of bool, shape (seeds, columns)
        What the one-standard-error choice kept.
    stability : float
        See `nogueira`; NaN if every seed kept everything or nothing.
    """

    names: tuple[str, ...]
    seeds: tuple[int, ...]
    kept: BoolArray
    stability: float

    @property
    def share(self) -> Array:
        """Share of the seeds in which each column survived."""
        found: Array = self.kept.mean(0)
        return found

    def __str__(self) -> str:
        order = sorted(range(len(self.names)), key=lambda i: (-self.share[i], i))
        lines = [f"{self.names[i]}: kept in {int(self.kept[:, i].sum())} of {len(self.seeds)} seeds" for i in order]
        return "\n".join([*lines, f"stability {self.stability:.2f}"])


def survival_over_seeds(
    build: Callable[[int], nn.Module],
    data: Any,
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    target: Any = None,
    held_out: Any = None,
    feature_names: Sequence[str] | None = None,
    progress: bool = True,
    **fit_options: Any,
) -> SeedSurvival:
    """Train a model once per seed, choose its inputs, and count.

    Parameters
    ----------
    build : callable
        Seed -> a new, untrained model.
    data, target, held_out, feature_names
        As for `kaninterp.pruning.choose.choose`. Held-out rows are never trained on.
    seeds : sequence of int
        At least two different ones.
    progress : bool
        Show a bar.
    **fit_options
        Of `kaninterp.fit`: epochs, lr, sparsity, ...

    Returns
    -------
    SeedSurvival
        A seed whose model no input helps on held-out rows kept nothing.

    Raises
    ------
    InputError
        Fewer than two seeds, or the same one twice.
    ModelError
        ``build`` gave the same module twice, which would train on.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> X = torch.rand(600, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    >>> def build(seed):
    ...     return ki.KANHead(3, 1, domain=(-1, 1), generator=torch.Generator().manual_seed(seed))
    >>> found = survival_over_seeds(build, (X, X[:, 0] + X[:, 1] ** 2), seeds=(0, 1), epochs=10, optimizer="lbfgs",
    ...                             progress=False)
    >>> found.share.tolist(), found.stability
    ([1.0, 1.0, 0.0], 1.0)
    """
    if len(set(seeds)) < 2 or len(set(seeds)) != len(seeds):
        raise InputError(f"survival_over_seeds: seeds={tuple(seeds)}; allowed: two or more different ones")
    models: list[nn.Module] = []
    kept: list[list[bool]] = []
    names: tuple[str, ...] = ()
    for seed in tqdm(seeds, desc="seeds", disable=not progress):
        model = build(seed)
        if any(model is other for other in models):
            raise ModelError("survival_over_seeds: build(seed) gave the same module twice; build a new one per call")
        models.append(model)
        parts = parts_of(model, data, target=target, held_out=held_out, feature_names=feature_names)
        fit(model, parts.train, seed=seed, progress=False, **fit_options)
        names = tuple(parts.train.names)
        table = choose(model, parts.train, held_out=parts.held, seed=seed, progress=False).table
        kept.append([name in table.kept for name in names])
    found = np.array(kept, dtype=bool)
    return SeedSurvival(names=names, seeds=tuple(seeds), kept=found, stability=nogueira(found))
