"""Layers one after the other as one KAN: a layer alone, a module that holds nothing but layers, a row in a Sequential.

Whether a module computes what its structure suggests is tried out on a few fixed rows, for a look at attributes proves
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from kaninterp.adapters.contract import allowed_gap, check_view, evaluating
from kaninterp.adapters.families import family_of
from kaninterp.adapters.view import LayerView, ModelView
from kaninterp.core.errors import ModelError

__all__ = ["PASSING", "follow", "is_plain", "is_stack", "stack_view", "view_parts", "view_stack"]

PASSING = (nn.Identity, nn.Dropout)
"""Modules that do nothing in eval mode, in which all is measured: layers with these between them follow each other."""
TRIED_ROWS = 13
"""Rows on which a layer is compared with its edges; a handful finds any normalisation or product."""
BEYOND = 0.25
"""How far beyond the domain these rows go, in widths of it: continuations differ there."""
STACK_TOLERANCE = 10.0
"""Rounding adds up from layer to layer; so many times the allowance of one layer for the whole."""


def stack_view(module: nn.Module, path: str, layers: Sequence[LayerView]) -> ModelView:
    """View of a module that is its layers one after the other; nothing may happen between them.

    Parameters
    ----------
    module : nn.Module
        What is called with the inputs of the first layer and gives the outputs of the last.
    path : str
        Where it sits in the model.
    layers : sequence of LayerView
        From its inputs to its outputs.

    Raises
    ------
    ModelError
        No layers, or one that reads another number of nodes than the one before it gives.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> from kaninterp.adapters import as_view
    >>> head = ki.KANHead(3, 1, (2,))
    >>> stack_view(head, "", as_view(head).layers).widths
    (3, 2, 1)
    """
    if not layers:
        raise ModelError(f"{type(module).__name__} has no layers; a KAN needs at least one")
    for depth, (before, after) in enumerate(pairwise(layers)):
        if before.dst != after.src:
            raise ModelError(
                f"{type(module).__name__}: layer {depth} gives {before.dst} nodes and layer {depth + 1} reads "
                f"{after.src}; layers of one KAN follow each other"
            )
    widths = (layers[0].src, *(layer.dst for layer in layers))
    first = next(iter(module.parameters()), torch.empty(0))
    return ModelView(
        module=module,
        path=path,
        layers=tuple(layers),
        width=widths[0],
        columns=None,
        node_ids=tuple(tuple(range(width)) for width in widths),
        options=(
            *_facts(layers),
            ("number type", str(first.dtype).removeprefix("torch.")),
            ("device", str(first.device.type)),
        ),
    )


def view_stack(module: nn.Module, path: str) -> ModelView:
    """View of a layer or a stack of layers of known families at ``path`` in a model.

    Raises
    ------
    ModelError
        A layer is not the sum of its edges.
    """
    return view_parts(module, path, _parts(module))


def view_parts(module: nn.Module, path: str, parts: Sequence[nn.Module]) -> ModelView:
    """View of a module that is made of these layers of known families."""
    families = [(family, part) for part in parts if (family := family_of(part)) is not None]
    view = stack_view(module, path, [family.read(part) for family, part in families])
    if not any(family.compiled for family, _ in families):
        check_view(view, _rows(view.layers[0]))
    return view


def is_plain(module: nn.Module) -> bool:
    """Whether a module is a Sequential that calls its children one after the other, each once.

    Examples
    --------
    >>> is_plain(nn.Sequential(nn.Tanh(), nn.Tanh())), is_plain(nn.ModuleList([nn.Tanh()]))
    (True, False)
    """
    if not isinstance(module, nn.Sequential) or type(module).forward is not nn.Sequential.forward:
        return False
    return len({id(child) for child in module._modules.values()}) == len(module._modules)


def is_stack(module: nn.Module) -> bool:
    """Whether a module is a layer of a known family, or holds nothing but such layers in a row.

    Examples
    --------
    >>> is_stack(nn.Sequential(nn.Linear(2, 1)))
    False
    """
    if family_of(module) is not None:
        return True
    parts = _parts(module)
    if not parts or any(family_of(part) is None for part in parts) or not follow(parts):
        return False
    compiled = any(family.compiled for part in parts if (family := family_of(part)) is not None)
    return is_plain(module) or compiled or _in_a_row(module, parts)


def follow(parts: Sequence[nn.Module]) -> bool:
    """Whether each layer reads as many nodes as the one before it gives; those that cannot be read count as fitting.

    Examples
    --------
    >>> import kaninterp as ki
    >>> follow([ki.KANLayer(3, 2), ki.KANLayer(2, 1)]), follow([ki.KANLayer(3, 2), ki.KANLayer(3, 1)])
    (True, False)
    """
    return all(a is None or b is None or a.dst == b.src for a, b in pairwise(map(_read, parts)))


def _read(part: nn.Module) -> LayerView | None:
    family = family_of(part)
    try:
        return None if family is None else family.view(part)
    except ModelError:
        return None  # whoever asks for the view is told why


def _parts(module: nn.Module) -> list[nn.Module]:
    """Candidates in order: a layer itself, or the children of a Sequential or of an only child that is a list."""
    if family_of(module) is not None:
        return [module]
    if isinstance(module, nn.Sequential):
        found = list(module)
    else:
        children = [child for child in module.children() if any(True for _ in child.parameters())]
        own = any(True for _ in module.parameters(recurse=False))
        found = list(children[0]) if len(children) == 1 and not own and isinstance(children[0], nn.ModuleList) else []
    return [part for part in found if not isinstance(part, PASSING)]


def _facts(layers: Sequence[LayerView]) -> tuple[tuple[str, str], ...]:
    """What the layers say of themselves: once if they agree, else one after the other."""
    facts = []
    for name, value in layers[0].facts:
        values = [dict(layer.facts).get(name, "-") for layer in layers]
        facts.append((name, value if set(values) == {value} else ", ".join(values)))
    return tuple(facts)


@torch.no_grad()
def _in_a_row(module: nn.Module, parts: Sequence[nn.Module]) -> bool:
    """Whether the module gives what its layers give one after the other."""
    views = [_read(part) for part in parts]
    first = views[0]
    if first is None or None in views:
        return True  # the reader says why it is refused
    x = _rows(first)
    with evaluating(module):
        try:
            whole = module.forward(x)
            for view in views:
                x = x if view is None else view(x)
        except Exception:
            return False
    if not isinstance(whole, Tensor) or whole.shape != x.shape:
        return False
    return bool((whole - x).abs().max() <= STACK_TOLERANCE * allowed_gap(x.dtype, float(x.abs().max())))


def _rows(layer: LayerView) -> Tensor:
    """Fixed rows over the domain and a little beyond, columns out of step, (TRIED_ROWS, src)."""
    module = layer.module
    like = torch.empty(0) if module is None else next(module.parameters())
    lo, hi = (torch.as_tensor(layer.knots[:, end], dtype=like.dtype, device=like.device) for end in (0, -1))
    step = torch.arange(1, TRIED_ROWS + 1, dtype=torch.float64).unsqueeze(1)
    pace = torch.sqrt(torch.arange(2, layer.src + 2, dtype=torch.float64) * 1.618)
    share = ((step * pace) % 1.0).to(like)
    return lo + (hi - lo) * (share * (1 + 2 * BEYOND) - BEYOND)
