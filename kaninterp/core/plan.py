"""`PrunePlan`: a decision as data. What is kept, what replaces the rest, and why; carried out elsewhere."""

from __future__ import annotations

import os
from dataclasses import dataclass

from . import archive
from .errors import PlanError
from .frozen import Array, BoolArray, bools, floats, same
from .mask import EdgeMask

__all__ = ["PrunePlan", "Reason"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why one thing goes.

    Attributes
    ----------
    kind : str
        "edge", "node" or "input".
    place : tuple of int
        ``(layer, dst, src)`` of an edge, ``(layer, index)`` of a node, ``(index,)`` of a raw input.
    score, threshold : float
        What was measured and what it was held against.
    text : str
        The reason in words, with the name of the score.
    """

    kind: str
    place: tuple[int, ...]
    score: float
    threshold: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PrunePlan:
    """What to keep of a model, what stands in for the rest, and the reason for each loss.

    Attributes
    ----------
    mask : EdgeMask
        Kept edges of the head.
    constants : tuple of ndarray, each (dst, src)
        Value that replaces each removed edge (its mean over the trace, or 0); folded into the node's bias.
    input_names : tuple of str
        Raw columns of the data; empty if the plan says nothing of them.
    inputs : ndarray of bool, shape (len(input_names),)
        Raw columns kept.
    fill : ndarray, shape (len(input_names),)
        Value that replaces each dropped raw column.
    reasons : tuple of Reason
        Why each edge, node or input goes.
    lags : int
        Time steps of a row of the data the plan was made on; 1 for a table.
    fingerprint : str
        `ModelCard.fingerprint` of the head the plan was made for; empty means any head of these widths.
    """

    mask: EdgeMask
    constants: tuple[Array, ...]
    input_names: tuple[str, ...]
    inputs: BoolArray
    fill: Array
    reasons: tuple[Reason, ...]
    fingerprint: str
    lags: int = 1

    def __post_init__(self) -> None:
        if len(self.constants) != len(self.mask.layers):
            raise PlanError(
                f"PrunePlan: {len(self.mask.layers)} layers in the mask, {len(self.constants)} of constants"
            )
        constants = tuple(
            floats(values, layer.shape, f"PrunePlan.constants[{i}]")
            for i, (values, layer) in enumerate(zip(self.constants, self.mask.layers, strict=True))
        )
        n = len(self.input_names)
        object.__setattr__(self, "constants", constants)
        object.__setattr__(self, "inputs", bools(self.inputs, (n,), "PrunePlan.inputs"))
        object.__setattr__(self, "fill", floats(self.fill, (n,), "PrunePlan.fill"))

    @property
    def dropped_inputs(self) -> tuple[str, ...]:
        """Names of the raw columns that go."""
        return tuple(name for name, kept in zip(self.input_names, self.inputs, strict=True) if not kept)

    def why(self, *place: int, kind: str = "edge") -> tuple[Reason, ...]:
        """Reasons given for one place."""
        return tuple(reason for reason in self.reasons if reason.kind == kind and reason.place == place)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to an ``.npz`` file (no pickle), atomically."""
        archive.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PrunePlan:
        """Read a plan back; raises `FileFormatError` on anything else."""
        return archive.load(path, cls, (EdgeMask, Reason))

    def equals(self, other: PrunePlan) -> bool:
        """Whether both hold the same values, bit for bit."""
        return same(self, other)

    def __repr__(self) -> str:
        inputs = f", inputs={int(self.inputs.sum())} of {len(self.inputs)}" if self.input_names else ""
        return f"PrunePlan(edges={self.mask.count} of {self.mask.size}{inputs}, reasons={len(self.reasons)})"
