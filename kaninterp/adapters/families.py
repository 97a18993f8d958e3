"""Layers of known constructions, one line per family: known by their structure, so copies under other names count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from kaninterp.adapters.cheby import is_cheby, view_cheby
from kaninterp.adapters.efficient_kan import is_efficient_kan, view_efficient_kan
from kaninterp.adapters.inkan import is_inkan, view_inkan
from kaninterp.adapters.kan_head import is_kan_layer, view_kan_layer
from kaninterp.adapters.kanditioned import is_kanditioned, view_kanditioned
from kaninterp.adapters.pykan_layer import is_pykan_layer, view_pykan_layer
from kaninterp.adapters.rbf import is_rbf, view_rbf
from kaninterp.adapters.view import LayerView

__all__ = ["FAMILIES", "LIBRARY", "Family", "family_of"]

LIBRARY = "library"
"""Which of the printed facts says that a KAN is of another library."""
OURS = "kaninterp (KANLayer)"
"""The family whose layers are not of another library."""


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
    view: Callable[[nn.Module], LayerView]
    compiled: bool = False

    def read(self, module: nn.Module) -> LayerView:
        """View of a layer, with the facts to print of it.

        Raises
        ------
        ModelError
            It is no sum of functions of single inputs.
        """
        layer = self.view(module)
        if self.name != OURS:
            layer.facts = ((LIBRARY, self.name), *layer.facts)
        return layer


FAMILIES = (
    Family(name=OURS, matches=is_kan_layer, view=view_kan_layer),
    Family(name="efficient-kan (KANLinear)", matches=is_efficient_kan, view=view_efficient_kan),
    Family(name="fast-kan (FastKANLayer without LayerNorm)", matches=is_rbf, view=view_rbf),
    Family(name="ChebyKAN (ChebyKANLayer)", matches=is_cheby, view=view_cheby),
    Family(name="inkan and flashkan (KANLayer)", matches=is_inkan, view=view_inkan, compiled=True),
    Family(name="kanditioned (KANLayer)", matches=is_kanditioned, view=view_kanditioned),
    Family(name="pykan (KANLayer)", matches=is_pykan_layer, view=view_pykan_layer),
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
