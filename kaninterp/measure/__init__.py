"""Measuring: torch in, numpy nouns out; the model and the caller's random numbers stay as they were."""

from kaninterp.measure.ablation import ablate
from kaninterp.measure.attribution import attribute
from kaninterp.measure.bootstrap import BlockBootstrap, block_length, block_of
from kaninterp.measure.clipping import clip
from kaninterp.measure.column_shapley import column_shapley
from kaninterp.measure.convert import conversion_error, from_kan, with_kan_head
from kaninterp.measure.edges import ablate_edges
from kaninterp.measure.interactions import interactions
from kaninterp.measure.kan_attribution import KANAttribution
from kaninterp.measure.leaks import leaks
from kaninterp.measure.monitor import RangeMonitor
from kaninterp.measure.passports import passports
from kaninterp.measure.periods import periods
from kaninterp.measure.probe import probe
from kaninterp.measure.range_cards import range_card
from kaninterp.measure.shadows import shadows
from kaninterp.measure.tracing import trace
from kaninterp.measure.trust import TrustBudget, trust_readings

__all__ = [
    "BlockBootstrap",
    "KANAttribution",
    "RangeMonitor",
    "TrustBudget",
    "ablate",
    "ablate_edges",
    "attribute",
    "block_length",
    "block_of",
    "clip",
    "column_shapley",
    "conversion_error",
    "from_kan",
    "interactions",
    "leaks",
    "passports",
    "periods",
    "probe",
    "range_card",
    "shadows",
    "trace",
    "trust_readings",
    "with_kan_head",
]
