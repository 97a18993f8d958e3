"""A finding about the explanation itself: that it does not pass its own checks."""

from __future__ import annotations

from kaninterp.core.findings import Finding

from .bundle import Analysis
from .trust import SKILL, JudgedCheck
from .wording import number

__all__ = ["TRUST_FINDINGS"]


def untrusted(analysis: Analysis) -> tuple[Finding, ...]:
    """The explanation fails: read nothing else before this."""
    trust = analysis.trust
    if trust is None or trust.status != "fail":
        return ()
    failed = trust.of("fail")
    names = ", ".join(judged.check.title.lower() for judged in failed)
    without_skill = any(judged.check.name == SKILL for judged in failed)
    return (
        Finding(
            code="untrusted",
            severity="problem",
            claim=f"The explanation does not pass its own checks: {names}.",
            evidence=" ".join(_told(judged) for judged in failed),
            advice="Improve the model, or measure on more rows: it is not shown to predict better than a constant."
            if without_skill
            else "Do not act on this report before these checks pass; more rows, or a simpler model, may help.",
            section="trust",
        ),
    )


def _told(judged: JudgedCheck) -> str:
    reading = judged.reading
    interval = "" if reading.low != reading.low else f" ({number(reading.low)} to {number(reading.high)})"
    return f"{judged.check.title}: {number(reading.value)}{interval}, asked for {judged.check.limit}."


TRUST_FINDINGS = (untrusted,)
