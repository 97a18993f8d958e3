"""A module that keeps rows it is measured on, and takes them from those it was trained on."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager

from torch import nn

__all__ = ["KeepsRows"]


class KeepsRows(nn.Module):
    """Something that is given the training rows once it is trained, wherever it sits in a model."""

    @abstractmethod
    def gathering(self) -> AbstractContextManager[None]:
        """Keep what it is called with in there, in place of what it kept before; an error leaves that as it was."""
