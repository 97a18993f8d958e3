"""kaninterp: explains hybrid models with a Kolmogorov-Arnold network (KAN) inside.

Train an LSTM (or any torch backbone) with a `KANHead` on top, by your own loop or by `fit`, then ask::

    import kaninterp as ki

    ki.report(model, data).save("report.html")

Step by step, each a function from a noun to the next: `trace` measures, `analyze` concludes, `prune` carries a
plan out on a copy, `to_graph` converts. Importing this package is light: torch is loaded with the first name
that needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Analysis": "kaninterp.analysis",
    "EdgeMask": "kaninterp.core",
    "Hybrid": "kaninterp.nn",
    "KANAttribution": "kaninterp.measure",
    "KANHead": "kaninterp.nn",
    "KANLayer": "kaninterp.nn",
    "KANSelector": "kaninterp.estimators",
    "KanInterpError": "kaninterp.core",
    "PrunePlan": "kaninterp.core",
    "PruneReport": "kaninterp.pruning",
    "RangeMonitor": "kaninterp.measure",
    "ScoreRule": "kaninterp.analysis",
    "Sparsity": "kaninterp.training",
    "Trace": "kaninterp.core",
    "analyze": "kaninterp.analysis",
    "attribute": "kaninterp.measure",
    "check": "kaninterp.workflows",
    "fit": "kaninterp.training",
    "formula": "kaninterp.symbolic",
    "from_kan": "kaninterp.measure",
    "load_head": "kaninterp.nn",
    "probe": "kaninterp.measure",
    "prune": "kaninterp.pruning",
    "range_card": "kaninterp.measure",
    "report": "kaninterp.workflows",
    "save_head": "kaninterp.nn",
    "to_graph": "kaninterp.analysis",
    "to_mask": "kaninterp.analysis",
    "trace": "kaninterp.measure",
    "windows": "kaninterp.data",
    "would_bend": "kaninterp.workflows",
}

__all__ = [
    "Analysis",
    "EdgeMask",
    "Hybrid",
    "KANAttribution",
    "KANHead",
    "KANLayer",
    "KANSelector",
    "KanInterpError",
    "PrunePlan",
    "PruneReport",
    "RangeMonitor",
    "ScoreRule",
    "Sparsity",
    "Trace",
    "__version__",
    "analyze",
    "attribute",
    "check",
    "fit",
    "formula",
    "from_kan",
    "load_head",
    "probe",
    "prune",
    "range_card",
    "report",
    "save_head",
    "to_graph",
    "to_mask",
    "trace",
    "windows",
    "would_bend",
]

if TYPE_CHECKING:
    from kaninterp.analysis import Analysis, ScoreRule, analyze, to_graph, to_mask
    from kaninterp.core import EdgeMask, KanInterpError, PrunePlan, Trace
    from kaninterp.data import windows
    from kaninterp.estimators import KANSelector
    from kaninterp.measure import KANAttribution, RangeMonitor, attribute, from_kan, probe, range_card, trace
    from kaninterp.nn import Hybrid, KANHead, KANLayer, load_head, save_head
    from kaninterp.pruning import PruneReport, prune
    from kaninterp.symbolic import formula
    from kaninterp.training import Sparsity, fit
    from kaninterp.workflows import check, report, would_bend


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'kaninterp' has no attribute {name!r}; public names are: {', '.join(_HOMES)}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
