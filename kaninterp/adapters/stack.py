"""Layers of other libraries and plain stacks of them, as views: all families that have no class for the whole.

A family is known by the structure of its layer, so copies under other names count, and nothing is imported. A module
that holds nothing but such layers in a row (``KAN.layers``, an ``nn.Sequential`` of them) is one KAN. Whether the
module computes what its structure suggests is tried out on a few fixed rows, for a look at attributes proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from kaninterp.adapters.basis_layer import BasisLayer
from kaninterp.adapters.cheby import is_cheby, view_cheby
from kaninterp.adapters.contract import allowed_gap, check_view, evaluating
from kaninterp.adapters.efficient_kan import is_efficient_kan, view_efficient_kan
from kaninterp.adapters.inkan import is_inkan, view_inkan
from kaninterp.adapters.kanditioned import is_kanditioned, view_kanditioned
from kaninterp.adapters.rbf import is_rbf, view_rbf
from kaninterp.adapters.view import ModelView
from kaninterp.core.errors import ModelError

__all__ = ["FAMILIES", "Family", "family_of", "is_stack", "view_stack"]

TRIED_ROWS = 13
"""Rows on which a layer is compared with its edges; a handful finds any normalisation or product."""
BEYOND = 0.25
"""How far beyond the domain these rows go, in widths of it: continuations differ there."""
STACK_TOLERANCE = 10.0
"""Rounding adds up from layer to layer; so many times the allowance of one layer for the whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Layers of one construction.

    Attributes
    ----------
    name : str
        Where it was published.
    matches : callable
        Whether a module is built like it.
    view : callable
        The view of one layer.
    compiled : bool
        The layer compiles itself when it is first called; it is not called just to be looked at.
    """

    name: str
    matches: Callable[[nn.Module], bool]
    view: Callable[[nn.Module], BasisLayer]
    compiled: bool = False


FAMILIES = (
    Family(name="efficient-kan (KANLinear)", matches=is_efficient_kan, view=view_efficient_kan),
    Family(name="fast-kan (FastKANLayer without LayerNorm)", matches=is_rbf, view=view_rbf),
    Family(name="ChebyKAN (ChebyKANLayer)", matches=is_cheby, view=view_cheby),
    Family(name="inkan and flashkan (KANLayer)", matches=is_inkan, view=view_inkan, compiled=True),
    Family(name="kanditioned (KANLayer)", matches=is_kanditioned, view=view_kanditioned),
)
"""One line per family whose layers are read by their structure."""


def family_of(module: nn.Module) -> Family | None:
    """Family of a single layer, or None.

    Examples
    --------
    >>> family_of(nn.Linear(2, 1)) is None
    True
    """
    return next((family for family in FAMILIES if family.matches(module)), None)


def is_stack(module: nn.Module) -> bool:
    """Whether a module is a layer of a known family, or holds nothing but such layers in a row.

    Examples
    --------
    >>> is_stack(nn.Sequential(nn.Linear(2, 1)))
    False
    """
    if family_of(module) is not None:
        return True
    layers = _layers(module)
    if not layers or any(family_of(layer) is None for layer in layers):
        return False
    if isinstance(module, nn.Sequential):
        return True
    try:
        views = [family.view(layer) for layer in layers if (family := family_of(layer)) is not None]
    except ModelError:
        return True  # the reader says why it is refused
    fits = all(left.dst == right.src for left, right in pairwise(views))
    return fits and (_compiled(layers) or _in_a_row(module, views))


def view_stack(module: nn.Module, path: str) -> ModelView:
    """View of a layer or a stack at ``path`` in a model.

    Raises
    ------
    ModelError
        A layer is not the sum of its edges.
    """
    layers = [module] if family_of(module) is not None else _layers(module)
    families = [family for layer in layers if (family := family_of(layer)) is not None]
    views = tuple(family.view(layer) for family, layer in zip(families, layers, strict=True))
    widths = (views[0].src, *(view.dst for view in views))
    first = views[0]
    view = ModelView(
        module=module,
        path=path,
        layers=views,
        width=widths[0],
        columns=None,
        node_ids=tuple(tuple(range(width)) for width in widths),
        options=(
            ("library", families[0].name),
            ("grid intervals", ", ".join(str(view.knots.shape[1] - 1) for view in views)),
            ("spline order", ", ".join(str(view.order) for view in views)),
            ("outside the domain", first.outside),
            ("base function", first.base_name),
        ),
    )
    if not _compiled(layers):
        check_view(view, _rows(first))
    return view


def _layers(module: nn.Module) -> list[nn.Module]:
    """Candidates in order: the children of an `nn.Sequential`, or of the only child if that is an `nn.ModuleList`."""
    if isinstance(module, nn.Sequential):
        return list(module)
    children = [child for child in module.children() if any(True for _ in child.parameters())]
    own = any(True for _ in module.parameters(recurse=False))
    return list(children[0]) if len(children) == 1 and not own and isinstance(children[0], nn.ModuleList) else []


def _compiled(layers: list[nn.Module]) -> bool:
    return any(family.compiled for layer in layers if (family := family_of(layer)) is not None)


@torch.no_grad()
def _in_a_row(module: nn.Module, views: list[BasisLayer]) -> bool:
    """Whether the module gives what its layers give one after the other."""
    x = _rows(views[0])
    with evaluating(module):
        try:
            whole = module.forward(x)
            for view in views:
                x = view(x)
        except Exception:
            return False
    if not isinstance(whole, Tensor) or whole.shape != x.shape:
        return False
    return bool((whole - x).abs().max() <= STACK_TOLERANCE * allowed_gap(x.dtype, float(x.abs().max())))


def _rows(layer: BasisLayer) -> Tensor:
    """Fixed rows over the domain and a little beyond, columns out of step, (TRIED_ROWS, src)."""
    weight = layer.coefficients()
    lo, hi = (torch.as_tensor(layer.knots[:, end], dtype=weight.dtype, device=weight.device) for end in (0, -1))
    step = torch.arange(1, TRIED_ROWS + 1, dtype=torch.float64).unsqueeze(1)
    pace = torch.sqrt(torch.arange(2, layer.src + 2, dtype=torch.float64) * 1.618)
    share = ((step * pace) % 1.0).to(weight)
    return lo + (hi - lo) * (share * (1 + 2 * BEYOND) - BEYOND)
