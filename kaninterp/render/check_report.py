"""`CheckReport`: the result of a check, for people, for programs and for continuous integration."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from xml.etree import ElementTree

from kaninterp.analysis.checking import BLIND, check_names
from kaninterp.core.findings import Finding
from kaninterp.core.range_card import RangeCard

__all__ = ["CheckReport"]

FORMAT, VERSION = "kaninterp-check", 1
MARKS = {"problem": "▲", "caution": "◆", "note": "■"}
NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, not even escaped; column names may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What a check of new data against a range card found.

    Attributes
    ----------
    findings : tuple of Finding
        Each names its check in ``section``; notes alone are no alarm.
    card : RangeCard
        What the data were held against.
    rows : int
        Rows checked.
    data : str
        Kind and shape of the data.
    """

    findings: tuple[Finding, ...]
    card: RangeCard
    rows: int
    data: str

    @property
    def ok(self) -> bool:
        """Whether nothing was found but notes."""
        return not any(_counts(finding) for finding in self.findings)

    @property
    def checks(self) -> tuple[tuple[str, str, tuple[Finding, ...]], ...]:
        """Every check: its short name, what it asks, and what it found."""
        return tuple(
            (name, asks, tuple(finding for finding in self.findings if finding.section == name))
            for name, asks in check_names(self.card)
        )

    def to_json(self) -> str:
        """One JSON object: ok, rows, data, model, and the checks with their findings."""
        body = {
            "format": FORMAT,
            "version": VERSION,
            "ok": self.ok,
            "rows": self.rows,
            "data": self.data,
            "model": {"class": self.card.card.model, "fingerprint": self.card.card.fingerprint},
            "checks": [
                {"name": name, "asks": asks, "findings": [_plain(finding) for finding in found]}
                for name, asks, found in self.checks
            ],
            "not_seen": BLIND,
        }
        return json.dumps(body, indent=1, ensure_ascii=True)

    def to_junit(self) -> str:
        """JUnit XML, one test case per check, as CI servers read it."""
        failed = sum(any(map(_counts, found)) for _, _, found in self.checks)
        attributes = {"name": "kaninterp check", "tests": str(len(self.checks)), "failures": str(failed), "errors": "0"}
        suite = ElementTree.Element("testsuite", attributes)
        for name, asks, found in self.checks:
            case = ElementTree.SubElement(suite, "testcase", {"classname": f"kaninterp.{name}", "name": asks})
            for finding in found:
                told = {"type": finding.code, "message": NO_XML.sub("\ufffd", finding.claim)}
                failure = ElementTree.SubElement(case, *(("failure", told) if _counts(finding) else ("system-out",)))
                failure.text = NO_XML.sub("\ufffd", f"{finding.claim}\n{finding.evidence}\n{finding.advice}")
        text: str = ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)
        return text + "\n"

    def __str__(self) -> str:
        lines = [f"{self.card.card.model} on {self.data}, against a card of {self.card.rows} rows"]
        for _, asks, found in self.checks:
            lines.append(f"{'✓' if not found else MARKS[found[0].severity]} {asks}")
            for finding in found:
                lines += [f"    {part}" for part in (finding.claim, finding.evidence, finding.advice)]
        return "\n".join([*lines, BLIND])


def _counts(finding: Finding) -> bool:
    return finding.severity != "note"


def _plain(finding: Finding) -> dict[str, str]:
    names = ("code", "severity", "claim", "evidence", "advice")
    return {name: str(getattr(finding, name)) for name in names}
