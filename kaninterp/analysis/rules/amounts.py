"""How much goes: by a threshold, a count, a share, or what the rest may cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from numbers import Integral

from kaninterp.analysis.sizes import multiply_adds, parameters
from kaninterp.analysis.wording import number, percent
from kaninterp.core.errors import InputError, InputTypeError
from kaninterp.core.mask import EdgeMask
from kaninterp.core.trace import Trace

__all__ = ["Amount", "Budget", "Count", "Fraction", "Threshold", "priced"]

Cost = Callable[[EdgeMask], float]


@dataclass(frozen=True, slots=True)
class Threshold:
    """Keep what exceeds a value, in the unit of the measure; the same in every scope."""

    value: float

    def __post_init__(self) -> None:
        if not (self.value >= 0 and isfinite(self.value)):
            raise InputError(f"Threshold: expected a number >= 0, got {self.value}")

    @property
    def words(self) -> str:
        """How reasons name it."""
        return f"threshold {number(self.value)}"


@dataclass(frozen=True, slots=True)
class Count:
    """Keep at most so many, the most important ones; of each layer, or for each output, if that is the scope."""

    keep: int

    def __post_init__(self) -> None:
        if isinstance(self.keep, bool) or not isinstance(self.keep, Integral):
            raise InputTypeError(f"Count: expected a whole number to keep, got {self.keep!r}")
        if self.keep < 1:
            raise InputError(f"Count: expected at least 1 to keep, got {self.keep}; a head without edges is a constant")

    @property
    def words(self) -> str:
        """How reasons name it."""
        return f"the best {self.keep:,} stay"


@dataclass(frozen=True, slots=True)
class Fraction:
    """Remove a share, the least important; rounded down, so that 0 removes nothing and each output keeps one."""

    remove: float

    def __post_init__(self) -> None:
        if not 0 <= self.remove < 1:
            raise InputError(f"Fraction: expected a share to remove, 0 <= share < 1, got {self.remove}")

    @property
    def words(self) -> str:
        """How reasons name it."""
        return f"the lowest {percent(self.remove)} go"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Keep as much as costs no more than this; with several limits, as much as meets them all.

    A compact head is smaller by whole nodes and inputs only: removing these (level "node", "input") meets a budget
    with less damage than removing edges until nodes fall out.

    Attributes
    ----------
    parameters, multiply_adds : int or None
        Of the compact head (see `kaninterp.analysis.sizes`).
    latency_ms : float or None
        In the unit of ``cost``.
    cost : callable or None
        `EdgeMask` -> milliseconds (or any other price that does not rise when edges go), for ``latency_ms``: for
        instance the measured time of the compact model on this machine. It is called about log2(n) times for n
        edges, nodes or inputs; so the noise of a measurement may shift the choice by as much.
    weights : tuple of int or None
        Weights per edge of each layer, for heads other than a `KANHead`.
    """

    parameters: int | None = None
    multiply_adds: int | None = None
    latency_ms: float | None = None
    cost: Cost | None = None
    weights: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not self.limits:
            raise InputError("Budget: give at least one of parameters=, multiply_adds= and latency_ms=")
        for name, limit in self.limits.items():
            if not limit > 0:
                raise InputError(f"Budget: {name} must be above 0, got {limit}")
        if (self.latency_ms is None) != (self.cost is None):
            raise InputError(
                "Budget: latency_ms= and cost= belong together; cost is a function of an EdgeMask that gives "
                "milliseconds, for a trace knows no machine"
            )

    @property
    def limits(self) -> dict[str, float]:
        """The limits that were given, by name."""
        asked = {"parameters": self.parameters, "multiply_adds": self.multiply_adds, "latency_ms": self.latency_ms}
        return {name: limit for name, limit in asked.items() if limit is not None}

    @property
    def words(self) -> str:
        """How reasons name it."""
        return "the best that fit into " + priced(self.limits)

    def price(self, mask: EdgeMask, trace: Trace) -> dict[str, float]:
        """What a mask costs, under the names of the limits."""
        measures: dict[str, Cost] = {
            "parameters": lambda m: parameters(m, self.weights or trace),
            "multiply_adds": lambda m: multiply_adds(m, self.weights or trace),
        }
        if self.cost is not None:
            measures["latency_ms"] = self.cost
        return {name: float(measures[name](mask)) for name in self.limits}

    def met(self, price: dict[str, float]) -> bool:
        """Whether a price is within every limit."""
        return all(price[name] <= limit for name, limit in self.limits.items())


Amount = Threshold | Count | Fraction | Budget


def priced(values: dict[str, float]) -> str:
    """Prices in words.

    Examples
    --------
    >>> priced({"parameters": 1200.0, "latency_ms": 0.25})
    '1,200 parameters and 0.25 ms'
    """
    units = {"parameters": "parameters", "multiply_adds": "multiply-adds", "latency_ms": "ms"}
    exact = {name: number(v) if name == "latency_ms" else f"{v:,.0f}" for name, v in values.items()}
    return " and ".join(f"{exact[name]} {units[name]}" for name in values)
