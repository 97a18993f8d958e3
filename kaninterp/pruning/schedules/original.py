"""What is left of a head, in the numbering of the head it came from."""

from __future__ import annotations

import numpy as np

from kaninterp.adapters import ModelView
from kaninterp.core import EdgeMask

__all__ = ["original_mask"]


def original_mask(start: ModelView, now: ModelView) -> EdgeMask:
    """Edges of a pruned head as a mask over the head it was pruned from.

    Examples
    --------
    >>> import numpy as np, kaninterp as ki
    >>> from kaninterp.adapters import as_view
    >>> from kaninterp.nn import prune_head
    >>> head = ki.KANHead(3, 1)
    >>> small, _ = prune_head(head, [np.array([[True, False, True]])])
    >>> original_mask(as_view(head), as_view(small)).layers[0].tolist()
    [[True, False, True]]
    """
    masks = [np.zeros((dst, src), bool) for src, dst in zip(start.widths, start.widths[1:], strict=False)]
    places = [[before.index(node) for node in left] for before, left in zip(start.node_ids, now.node_ids, strict=True)]
    for layer, mask in enumerate(masks):
        mask[np.ix_(places[layer + 1], places[layer])] = now.layers[layer].alive
    return EdgeMask.of(masks)
