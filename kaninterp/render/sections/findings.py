"""Section 2: what is wrong or worth knowing, worst first."""

from __future__ import annotations

from kaninterp.core.findings import SEVERITIES
from kaninterp.render.blocks import FindingItem, Findings, Section
from kaninterp.render.material import Material
from kaninterp.render.wording import shown

__all__ = ["findings_section"]


def findings_section(material: Material) -> Section:
    """All findings of the analysis, each with evidence, advice and a link."""
    found = sorted(material.analysis.findings, key=lambda f: SEVERITIES.index(f.severity))
    items = tuple(
        FindingItem(
            code=f.code,
            severity=f.severity,
            claim=shown(f.claim),
            evidence=shown(f.evidence),
            advice=shown(f.advice),
            section=f.section,
        )
        for f in found
    )
    kinds = {kind: sum(item.severity == kind for item in items) for kind in SEVERITIES}
    counts = ", ".join(f"{n} {kind}{'s' if n != 1 else ''}" for kind, n in kinds.items() if n)
    lead = f"{counts}. Worst first." if items else "None of the checks found anything: 0 problems, 0 cautions, 0 notes."
    return Section(id="findings", title="Findings", lead=lead, blocks=(Findings(items=items),) if items else ())
