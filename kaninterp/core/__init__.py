"""Ground floor: frozen nouns, names and errors. numpy only; everything above is a function of these."""

from .clipping import ClippedPart, Clipping
from .discoveries import benjamini_hochberg, benjamini_yekutieli
from .edge_evidence import EdgeAblation, Twins
from .edge_formula import EdgeFormula
from .errors import (
    DataError,
    FileAccessError,
    FileFormatError,
    InputError,
    InputTypeError,
    KanInterpError,
    MissingFileError,
    ModelError,
    NamesError,
    PlanError,
    ReportWriteError,
    ShapeError,
    StateError,
)
from .evidence import (
    Estimate,
    InputAblation,
    InputAttribution,
    InputShapley,
    PruneCost,
    SurvivalCurve,
)
from .families import FAMILIES, Family
from .findings import Finding, Verdict
from .interactions import Interactions, Pair
from .leaks import Leak
from .mask import EdgeMask
from .parts import PartTable
from .passports import Effect, Passport, Passports
from .periods import Departure, Periods
from .plan import PrunePlan, Reason
from .probe import PROBE_KINDS, Probe
from .range_card import RangeCard, SeenColumns, SeenLayer
from .shadows import Shadows
from .substitutes import Swap
from .survival import PartVerdict, SurvivalPath, SurvivalTable
from .tables import EdgeTable, NodeTable, RangeTable, RawTable
from .trace import LayerTrace, ModelCard, Trace
from .trust import TrustReading
from .watch import Exit, RangeWatch, WatchedColumns, WatchedLayer

__all__ = [
    "FAMILIES",
    "PROBE_KINDS",
    "ClippedPart",
    "Clipping",
    "DataError",
    "Departure",
    "EdgeAblation",
    "EdgeFormula",
    "EdgeMask",
    "EdgeTable",
    "Effect",
    "Estimate",
    "Exit",
    "Family",
    "FileAccessError",
    "FileFormatError",
    "Finding",
    "InputAblation",
    "InputAttribution",
    "InputError",
    "InputShapley",
    "InputTypeError",
    "Interactions",
    "KanInterpError",
    "LayerTrace",
    "Leak",
    "MissingFileError",
    "ModelCard",
    "ModelError",
    "NamesError",
    "NodeTable",
    "Pair",
    "PartTable",
    "PartVerdict",
    "Passport",
    "Passports",
    "Periods",
    "PlanError",
    "Probe",
    "PruneCost",
    "PrunePlan",
    "RangeCard",
    "RangeTable",
    "RangeWatch",
    "RawTable",
    "Reason",
    "ReportWriteError",
    "SeenColumns",
    "SeenLayer",
    "Shadows",
    "ShapeError",
    "StateError",
    "SurvivalCurve",
    "SurvivalPath",
    "SurvivalTable",
    "Swap",
    "Trace",
    "TrustReading",
    "Twins",
    "Verdict",
    "WatchedColumns",
    "WatchedLayer",
    "benjamini_hochberg",
    "benjamini_yekutieli",
]
