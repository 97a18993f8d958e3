"""`find`: everything worth saying about a model, worst first; one function per kind of finding."""

from __future__ import annotations

from collections.abc import Callable

from kaninterp.core.findings import SEVERITIES, Finding

from .bundle import Analysis
from .discoveries import kept_without_proof
from .findings_columns import COLUMN_CHECKS
from .findings_edges import EDGE_CHECKS
from .findings_inputs import INPUT_CHECKS
from .findings_ranges import RANGE_CHECKS
from .findings_trust import TRUST_FINDINGS

__all__ = ["CHECKS", "SECTIONS", "find"]

SECTIONS = ("answer", "findings", "network", "inputs", "ranges", "drift", "trust", "model", "glossary")

CHECKS: tuple[Callable[[Analysis], tuple[Finding, ...]], ...] = (
    *TRUST_FINDINGS,
    *RANGE_CHECKS,
    *INPUT_CHECKS,
    kept_without_proof,
    *COLUMN_CHECKS,
    *EDGE_CHECKS,
)
"""Every check; each returns no finding, or some."""


def find(analysis: Analysis) -> tuple[Finding, ...]:
    """All findings about an analysis, worst first, in the order of `CHECKS` within a severity."""
    found = [finding for check in CHECKS for finding in check(analysis)]
    return tuple(sorted(found, key=lambda finding: SEVERITIES.index(finding.severity)))
