"""Give the training rows, as they arrive after training, to the modules inside a model that keep some."""

from __future__ import annotations

from contextlib import ExitStack

from torch import nn

from kaninterp.nn import undisturbed
from kaninterp.nn.kept_rows import KeepsRows
from kaninterp.training.feeds import Feeds

__all__ = ["keep_rows"]


def keep_rows(model: nn.Module, feeds: Feeds) -> None:
    """Run the training rows through the trained model once, if anything in it keeps rows; nothing else changes."""
    keepers = [module for module in model.modules() if isinstance(module, KeepsRows)]
    if not keepers:
        return
    with undisturbed(model), ExitStack() as stack:
        for keeper in keepers:
            stack.enter_context(keeper.gathering())
        for batch in feeds.ordered():
            batch.call(model)
