"""The same head trained anew from other weights, and what each of the heads makes of the raw columns."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import InputError
from .evidence import InputAblation

__all__ = ["Refits"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Refits:
    """Column by column, what the explained model needs and what heads refitted on its frozen backbone need.

    Attributes
    ----------
    seeds : tuple of int
        Of the refits.
    trained, epochs : int
        Rows they were trained on, and passes over them at most.
    whole : bool
        Whether the head is the whole model; else a backbone in front of it was kept as it is.
    ablations : tuple of InputAblation
        The explained model first, then one per seed; on the same later rows, with the same shuffles. ``reads`` says
        which columns reach the head at all.

    Raises
    ------
    InputError
        Not one ablation per seed and one more, or ablations of different columns.
    """

    seeds: tuple[int, ...]
    trained: int
    epochs: int
    whole: bool
    ablations: tuple[InputAblation, ...]

    def __post_init__(self) -> None:
        if len(self.ablations) != len(self.seeds) + 1:
            raise InputError(
                f"Refits: {len(self.ablations)} ablations for {len(self.seeds)} seeds; expected one more, the model's"
            )
        if len({ablation.names for ablation in self.ablations}) != 1:
            raise InputError("Refits: the ablations are of different columns")

    @property
    def names(self) -> tuple[str, ...]:
        """Raw columns."""
        return self.ablations[0].names
