"""Curves fitted as c f(a t + b) + d, all curves and all families at once, from the best of a net of starts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kaninterp.core.families import Family
from kaninterp.core.frozen import Array, IntArray

from .family_net import FamilyNet, net_of
from .family_steps import STEPS_ON, Curves, Problems, polish

__all__ = ["FamilyFits", "fit_families"]

CURVES_AT_ONCE = 32
"""Curves per block: what they take fits the cache."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FamilyFits:
    """The best a and b of every family for every curve, and what is left.

    Attributes
    ----------
    a, b : ndarray, shape (2, curves, families)
        On the axis t from -1 to 1. First with a and b free as far as they can be told, then with the argument 0 where
        x is 0, so that there is one number less.
    rest : ndarray, shape (2, curves, families)
        Squared error as a share of the variance, 1 - R^2; infinite where there is no such fit, as for a family that is
        not defined over the range.
    """

    a: Array
    b: Array
    rest: Array


def fit_families(
    curves: Array, weights: Array, families: Sequence[Family], *, fastest: float, origins: Array
) -> FamilyFits:
    """Fit every family to every curve.

    Parameters
    ----------
    curves : ndarray, shape (E, N)
        Values at N equally spaced t from -1 to 1, none of them constant.
    weights : ndarray, shape (E, N)
        Of the points; each row sums to 1.
    families : sequence of Family
        What to try.
    fastest : float
        Largest a the net looks for; see `kaninterp.analysis.family_starts.starts`.
    origins : ndarray, shape (E,)
        The t at which x is 0.

    Examples
    --------
    >>> from kaninterp.core.families import families_of
    >>> t = np.linspace(-1, 1, 65)
    >>> found = fit_families(
    ...     np.sin(3 * t)[None], np.full((1, 65), 1 / 65), families_of(["x", "sin"]), fastest=8.0, origins=np.zeros(1)
    ... )
    >>> found.a[0, 0].round(6), bool(found.rest[0, 0, 1] < 1e-12)
    (array([1., 3.]), True)
    """
    shape = (2, len(curves), len(families))
    result = FamilyFits(a=np.ones(shape), b=np.zeros(shape), rest=np.full(shape, np.inf))
    nets = [net_of(family, curves.shape[1], math.ceil(fastest)) for family in families]
    for first in range(0, len(curves), CURVES_AT_ONCE):
        block = slice(first, first + CURVES_AT_ONCE)
        standard = Curves(_standard(curves[block], weights[block]), weights[block], families)
        part = FamilyFits(a=result.a[:, block], b=result.b[:, block], rest=result.rest[:, block])
        _fit_free(part, standard, nets, origins[block])
        _fit_tied(part, standard, nets, origins[block])
    return result


def _standard(curves: Array, weights: Array) -> Array:
    """Mean 0 and standard deviation 1."""
    size = np.abs(curves).max(1, keepdims=True)
    scaled = curves / np.where(size > 0, size, 1.0)
    scaled = scaled - (weights * scaled).sum(1, keepdims=True)
    spread = np.sqrt((weights * scaled**2).sum(1, keepdims=True))
    return np.asarray(scaled / np.where(spread > 0, spread, 1.0))


def _fit_free(into: FamilyFits, curves: Curves, nets: Sequence[FamilyNet], origins: Array) -> None:
    """With a and b as free as the data can tell them."""
    count = len(curves.y)
    for f, net in enumerate(nets):
        if net.kind.constant:
            into.rest[0, :, f] = 1.0
    parts = [(f, start) for f, net in enumerate(nets) for start in net.best(curves.y, curves.weights)]
    if not parts:
        return
    family: IntArray = np.repeat([f for f, _ in parts], count)
    begun = np.concatenate([start for _, start in parts])
    problems = Problems(
        family=family,
        which=np.tile(np.arange(count), len(parts)),
        a=begun[:, 0].copy(),
        b=begun[:, 1].copy(),
        moves=np.array([net.kind.free for net in nets])[family],
        origin=np.zeros(len(family)),
        tied=np.zeros(len(family), dtype=bool),
    )
    left = polish(problems, curves, thin=True)
    for f in dict.fromkeys(family.tolist()):
        mine = np.flatnonzero(family == f).reshape(-1, count)
        best = mine[left[mine].argmin(0), np.arange(count)]
        a, b = problems.a[best], problems.b[best]
        if nets[f].kind.half_turn and not nets[f].kind.shift:  # a phase near 0 where x is 0; exp has none
            b = b - np.pi * np.round((b + a * origins) / np.pi)
        into.a[0, :, f], into.b[0, :, f], into.rest[0, :, f] = a, b, left[best]


def _fit_tied(into: FamilyFits, curves: Curves, nets: Sequence[FamilyNet], origins: Array) -> None:
    """With the argument 0 at x = 0, from where the free fit has ended; only for families with a b to be told."""
    moves = np.array([net.kind.free for net in nets])
    family, which = np.nonzero(np.isfinite(into.rest[0]).T & moves[:, 1:])
    if not len(which):
        return
    a = into.a[0, which, family]
    free = moves[family]
    free[:, 1] = False
    problems = Problems(
        family=family,
        which=which,
        a=a.copy(),
        b=-a * origins[which],
        moves=free,
        origin=origins[which],
        tied=np.ones(len(which), dtype=bool),
    )
    left = polish(problems, curves, steps=STEPS_ON)
    into.a[1, which, family], into.b[1, which, family], into.rest[1, which, family] = problems.a, problems.b, left
