"""What every narrowed module has in common: it takes the full width and selects its columns itself."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from kaninterp.core.errors import ShapeError

__all__ = ["NOTHING", "Narrowed"]

NOTHING = -1
"""Stands for a column of zeros among the columns that a module's weights read."""

Readable = TypeVar("Readable", Tensor, PackedSequence)


class Narrowed(nn.Module):
    """Mixin of a module that accepts its full-width input and reads only some of its columns.

    Attributes
    ----------
    kept_columns : tuple of int
        Indices of the columns it reads, ascending, in the numbering of the full-width input.
    places : tuple of int
        Column that each input of its weights reads; `NOTHING` where it is fed zeros.
    full_width : int
        Width of the input it accepts; any other width is an error, never read silently.

    Notes
    -----
    The inner module (`in_features` of a linear, `input_size` of a recurrent one, `in_channels` of a convolution)
    is as narrow as its weights. With no column left it reads zeros, so that it stays a valid module. The kept
    columns are part of the state dict: loading the weights of another selection is refused.
    """

    kept_columns: tuple[int, ...]
    places: tuple[int, ...]
    full_width: int
    kept_index: Tensor
    narrow_kind: ClassVar[str]
    column_axis: ClassVar[int] = -1

    def remember(self, places: tuple[int, ...], full_width: int, device: torch.device) -> None:
        """Write down which column each input of the weights reads."""
        self.places = places
        self.kept_columns = tuple(sorted(column for column in places if column != NOTHING))
        self.full_width = full_width
        index = [full_width if column == NOTHING else column for column in places]
        self.register_buffer("kept_index", torch.tensor(index, dtype=torch.long, device=device))

    def select_columns(self, x: Readable) -> Readable:
        """Pick the kept columns of a full-width input, padded or packed; refuse any other width."""
        if isinstance(x, PackedSequence):
            return PackedSequence(self._pick(x.data), x.batch_sizes, x.sorted_indices, x.unsorted_indices)
        return self._pick(x)

    def _pick(self, x: Tensor) -> Tensor:
        axis = self.column_axis
        if x.dim() < -axis or x.shape[axis] != self.full_width:
            raise ShapeError(
                f"a narrowed {self.narrow_kind} takes its full-width input, {self.full_width} columns on axis {axis}, "
                f"and selects {len(self.kept_columns)} of them itself; got shape {tuple(x.shape)}"
            )
        if NOTHING in self.places:
            shape = list(x.shape)
            shape[axis] = 1
            x = torch.cat([x, x.new_zeros(shape)], axis)
        return x.index_select(axis, self.kept_index)

    def extra_repr(self) -> str:
        """Add the width it accepts to the repr of the module it came from."""
        return f"{super().extra_repr()}, reads {len(self.kept_columns)} of {self.full_width} columns"

    def _load_from_state_dict(  # noqa: PLR0917 (the signature torch calls)
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], strict: bool,
        missing_keys: list[str], unexpected_keys: list[str], error_msgs: list[str],
    ) -> None:  # fmt: skip
        saved = state_dict.get(prefix + "kept_index")
        if isinstance(saved, Tensor) and saved.tolist() != self.kept_index.tolist():
            columns = tuple(sorted(column for column in saved.tolist() if column < self.full_width))
            error_msgs.append(
                f"{prefix}kept_index: the saved module reads columns {columns}, this one reads "
                f"{self.kept_columns}; narrow it the same way before loading"
            )
            return
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
