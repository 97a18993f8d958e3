"""Linear maps of the columns."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from kaninterp.nn.readers.family import Family
from kaninterp.nn.readers.narrowed import Narrowed

__all__ = ["LinearFamily", "NarrowLinear"]


class NarrowLinear(Narrowed, nn.Linear):
    """An `nn.Linear` that accepts the full width (..., full_width) and reads only its kept columns."""

    narrow_kind = "linear"

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (the name torch gives it)
        """Apply the smaller linear map to the kept columns."""
        return super().forward(self.select_columns(input))


class LinearFamily(Family):
    """`nn.Linear`: a table, a window, the projection in front of a Transformer."""

    kind = "linear"
    plain = nn.Linear
    narrowed = NarrowLinear

    def width(self, module: nn.Module) -> int:
        """`in_features`."""
        return int(module.in_features)  # type: ignore[arg-type]

    def first_weights(self, module: nn.Module) -> dict[str, str]:
        """One matrix."""
        del module
        return {"weight": "bias"}

    def options(self, module: nn.Module, width: int, *, bias: bool) -> dict[str, Any]:
        """Arguments of `nn.Linear`."""
        return {
            "in_features": width,
            "out_features": module.out_features,
            "bias": module.bias is not None or bias,
        }
