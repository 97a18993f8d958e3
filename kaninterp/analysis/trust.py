"""What the checks of an explanation are worth: limits, a verdict for each, and one for all of them.

Limits are published rules of thumb where there are some, and otherwise say what a reader would accept; each stands in
`TRUST_CHECKS` with its reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from kaninterp.core.errors import InputError
from kaninterp.core.trust import TrustReading

from .wording import listed, number

__all__ = ["ENOUGH_FAILED", "TRUST_CHECKS", "JudgedCheck", "Trust", "TrustCheck", "TrustStatus", "judge"]

TrustStatus = Literal["pass", "weak", "fail", "unmeasured"]

ENOUGH_FAILED = 2
"""Failed checks, other than skill, from which an explanation is not to be trusted: one alone may be chance, or a
peculiarity of one method. One of them must be more than an order or a choice: where columns stand in for each other,
two good models, and two halves of the rows, order them differently."""

SKILL = "skill"
RIVAL = "black-box-loss"

MISSED = 0.5
"""Part of what another kind of model surely saves below which a model that also fails that check has missed most of
the data: it may be explained well, but what it uses says little about them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustCheck:
    """What a check asks, and from where on it is passed or failed.

    Attributes
    ----------
    name : str
        As in `TrustReading.check`.
    title : str
        For people.
    asks : str
        What it asks, in one sentence.
    better : {"high", "low"}
        Which values are good.
    passes, fails : float
        From where on it is passed, and beyond which it is failed; weak between them.
    chance_fails : bool
        Whether it is also failed when the interval reaches what chance gives.
    above : str
        Another check whose value is subtracted first, if the reading does not bring what to subtract (`own`).
    order_only : bool
        Whether it compares orders or choices of columns: where columns are interchangeable these disagree although
        every model is right, so they alone fail no explanation.
    why : str
        Where the limits come from.
    """

    name: str
    title: str
    asks: str
    better: Literal["high", "low"]
    passes: float
    fails: float
    chance_fails: bool = False
    above: str = ""
    order_only: bool = False
    why: str

    @property
    def limit(self) -> str:
        """When it is passed and when it is failed, in words."""
        if self.better == "high":
            return f"at least {number(self.passes)}; fails below {number(self.fails)}"
        own = " above the model's own" if self.above else ""
        return f"at most {number(self.passes)}{own}; fails above {number(self.fails)}"

    def status(self, reading: TrustReading) -> TrustStatus:
        """Verdict on one reading.

        Where high is good it fails below ``fails``, or where its interval reaches chance and ``chance_fails`` says so.
        Where low is good it fails above ``fails``, unless its whole interval is below what chance gives.
        """
        if not reading.measured:
            return "unmeasured"
        if self.better == "high":
            lucky = self.chance_fails and reading.low <= reading.chance
            if reading.value < self.fails or lucky:
                return "fail"
            return "pass" if reading.value >= self.passes else "weak"
        if reading.value <= self.passes:
            return "pass"
        return "fail" if reading.value > self.fails and not reading.high < reading.chance else "weak"


_AGREEMENT = "0.7: half of the variance of the ranks is shared; 0.4: a sixth"
_NOGUEIRA = "above 0.75 is excellent and below 0.4 poor (Nogueira et al. 2018, after Fleiss)"

TRUST_CHECKS: tuple[TrustCheck, ...] = (
    TrustCheck(
        name=SKILL, title="The model predicts",
        asks="How much of the loss of the best constant prediction does the model save?",
        better="high", passes=0.1, fails=0.01, chance_fails=True,
        why="below a hundredth there is nothing to explain; below a tenth it explains little of the target",
    ),
    TrustCheck(
        name="deletion", title="Deletion",
        asks="Does shuffling what is called important hurt more than a random order? 1: as much as the best known.",
        better="high", passes=0.5, fails=0.1, chance_fails=True,
        why="half of the way from a random order to the best one known",
    ),
    TrustCheck(
        name="insertion", title="Insertion",
        asks="Does giving back first what is called important help more than a random order? 1: as much as the best.",
        better="high", passes=0.5, fails=0.1, chance_fails=True,
        why="half of the way from a random order to the best one known",
    ),
    TrustCheck(
        name="randomised", title="Shuffled parameters",
        asks="Does the explanation rank columns and lags as it does for copies of the model with shuffled parameters?",
        better="low", passes=0.5, fails=0.7,
        why="at 0.7 half of the variance of the ranks is there without anything learnt",
    ),
    TrustCheck(
        name="completeness", title="Completeness",
        asks="How much of the prediction do the attributions to columns and lags leave unexplained, at worst?",
        better="low", passes=0.05, fails=0.2,
        why="0.05 is the rule of Sundararajan et al. (2017, section 5)",
    ),
    TrustCheck(
        name="infidelity", title="Infidelity",
        asks="How badly do attributions foretell the output when parts of a row go to their mean? 1: as with none.",
        better="low", passes=0.25, fails=0.75,
        why="a quarter of the squared changes is left: attributions are right to half a change",
    ),
    TrustCheck(
        name="sensitivity", title="Sensitivity",
        asks="How far does an explanation move, against its size, when no value moves by more than 0.05 sd?",
        better="low", passes=0.25, fails=1.0,
        why="a quarter is five times the move; at 1 nothing of the explanation is left",
    ),
    TrustCheck(
        name="bootstrap", title="Other rows: ranking",
        asks="Would other rows of the same data rank the columns alike? 1: the same order.",
        better="high", passes=0.7, fails=0.4, order_only=True,
        why=_AGREEMENT,
    ),
    TrustCheck(
        name="bootstrap-kept", title="Other rows: choice",
        asks="Would other rows of the same data keep the same columns? 1: always the same ones.",
        better="high", passes=0.75, fails=0.4, order_only=True,
        why=_NOGUEIRA,
    ),
    TrustCheck(
        name="seeds", title="Other seeds: ranking",
        asks="Does the same KAN, trained from other starts, rank the columns alike?",
        better="high", passes=0.7, fails=0.4, order_only=True,
        why=_AGREEMENT,
    ),
    TrustCheck(
        name="seeds-sizes", title="Other seeds: sizes",
        asks="Does the same KAN, trained from other starts, lose as much without each column?",
        better="high", passes=0.7, fails=0.2,
        why="models that know nothing overlap with trained ones by less than 0.1; two good ones by 0.9",
    ),
    TrustCheck(
        name="seeds-kept", title="Other seeds: choice",
        asks="Does the same KAN, trained from other starts, keep the same columns?",
        better="high", passes=0.75, fails=0.0, order_only=True,
        why="above 0.75 is excellent (Nogueira et al. 2018), 0 is chance; jumpy where nearly all columns are kept",
    ),
    TrustCheck(
        name="black-box", title="Another kind of model: ranking",
        asks="Does a model of another kind, trained on the same columns, rank them alike?",
        better="high", passes=0.7, fails=0.2, order_only=True,
        why="two good models may use different columns, so only a ranking near chance speaks against this one",
    ),
    TrustCheck(
        name="black-box-sizes", title="Another kind of model: sizes",
        asks="Does a model of another kind lose as much without each column?",
        better="high", passes=0.7, fails=0.2,
        why="models that know nothing overlap with it by less than 0.1; two good ones with different habits by 0.3",
    ),
    TrustCheck(
        name=RIVAL, title="Another kind of model: skill",
        asks="How much of the loss does a model of another kind save?",
        better="low", passes=0.1, fails=0.3, above=SKILL,
        why="by a tenth a tuned model of another kind is often better; by three this one has missed much of the data",
    ),
)  # fmt: skip
"""Every check, in the order of the report; a new one is one entry here and one function that measures it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCheck:
    """A check, what was measured, and the verdict."""

    check: TrustCheck
    reading: TrustReading
    status: TrustStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whether the explanation may be trusted.

    Attributes
    ----------
    checks : tuple of JudgedCheck
        In the order of `TRUST_CHECKS`.
    status : {"pass", "weak", "fail", "unmeasured"}
        Of all of them.
    text : str
        Why, in one or two sentences.
    """

    checks: tuple[JudgedCheck, ...]
    status: TrustStatus
    text: str

    def of(self, status: TrustStatus) -> tuple[JudgedCheck, ...]:
        """Checks with this verdict."""
        return tuple(judged for judged in self.checks if judged.status == status)

    @property
    def measured(self) -> int:
        """How many checks have a number."""
        return len(self.checks) - len(self.of("unmeasured"))


def judge(readings: Iterable[TrustReading]) -> Trust:
    """Hold readings against their limits and conclude.

    Parameters
    ----------
    readings : iterable of TrustReading
        Of `kaninterp.measure.trust.trust_readings` and others; each check at most once.

    Returns
    -------
    Trust
        *fail*: the model has no skill, or far less than another kind of model (`MISSED`), whatever else holds, for
        then its explanation is about nothing or little; or
        `ENOUGH_FAILED` other checks fail, one of them more than an order or a choice of columns. *weak*: another check
        fails, two are weak, or the skill is weak or unmeasured. *unmeasured*: nothing was. *pass*: all others.

    Raises
    ------
    InputError
        A check that is not in `TRUST_CHECKS`, or twice.

    Examples
    --------
    >>> judge([TrustReading(check="skill", value=0.0, low=-0.1, high=0.1, chance=0.0)]).status
    'fail'
    >>> judge([TrustReading(check="skill", value=0.8, low=0.7, high=0.9, chance=0.0)]).status
    'pass'
    """
    given = _by_name(readings)
    checks = tuple(
        JudgedCheck(check=check, reading=given[check.name], status=_status(check, given))
        for check in TRUST_CHECKS
        if check.name in given
    )
    status = _overall(checks)
    return Trust(checks=checks, status=status, text=_text(checks, status))


def _by_name(readings: Iterable[TrustReading]) -> dict[str, TrustReading]:
    known = [check.name for check in TRUST_CHECKS]
    given: dict[str, TrustReading] = {}
    for reading in readings:
        if reading.check not in known:
            raise InputError(f"judge: no check {reading.check!r}; known are: {', '.join(known)}")
        if reading.check in given:
            raise InputError(f"judge: check {reading.check!r} is there twice; give each once")
        given[reading.check] = reading
    return given


def _status(check: TrustCheck, given: dict[str, TrustReading]) -> TrustStatus:
    reading = given[check.name]
    if not check.above or not reading.measured:
        return check.status(reading)
    own = _own(reading, given.get(check.above))
    if math.isnan(own):
        return "unmeasured"
    return check.status(TrustReading(check=check.name, value=reading.value - own))


def _own(reading: TrustReading, other: TrustReading | None) -> float:
    """What the explained model reaches: on the same rows where that is known, else by its own check; NaN if unknown."""
    if not math.isnan(reading.own) or other is None:
        return reading.own
    return other.value


def _overall(checks: tuple[JudgedCheck, ...]) -> TrustStatus:
    skill = next((judged.status for judged in checks if judged.check.name == SKILL), "unmeasured")
    others = [judged.status for judged in checks if judged.check.name != SKILL]
    failed = [judged.check for judged in checks if judged.check.name != SKILL and judged.status == "fail"]
    more_than_order = not all(check.order_only for check in failed)
    if skill == "fail" or _missed(checks) or (len(failed) >= ENOUGH_FAILED and more_than_order):
        return "fail"
    if all(status == "unmeasured" for status in (skill, *others)):
        return "unmeasured"
    doubtful = "fail" in others or others.count("weak") >= ENOUGH_FAILED or skill != "pass"
    return "weak" if doubtful else "pass"


def _missed(checks: tuple[JudgedCheck, ...]) -> bool:
    """Whether another kind of model saves far more of the loss, even at the lower end of its interval."""
    by_name = {judged.check.name: judged for judged in checks}
    rival, skill = by_name.get(RIVAL), by_name.get(SKILL)
    if rival is None or rival.status != "fail":
        return False
    return _own(rival.reading, skill.reading if skill else None) < MISSED * rival.reading.low


def _text(checks: tuple[JudgedCheck, ...], status: TrustStatus) -> str:
    by_status = {
        kind: [judged.check.title.lower() for judged in checks if judged.status == kind]
        for kind in ("pass", "weak", "fail", "unmeasured")
    }
    measured = len(checks) - len(by_status["unmeasured"])
    if status == "unmeasured":
        return "Nothing was measured that would speak for or against this explanation."
    passed = f"{len(by_status['pass'])} of {measured} measured checks passed"
    failed = f"failed: {listed(by_status['fail'])}" if by_status["fail"] else ""
    weak = f"weak: {listed(by_status['weak'])}" if by_status["weak"] else ""
    told = "; ".join(part for part in (passed, failed, weak) if part) + "."
    skill = next((judged for judged in checks if judged.check.name == SKILL), None)
    if skill is not None and skill.status == "fail":
        return (
            "Do not trust this explanation: on these rows the model is not shown to predict better than a constant, so "
            f"what it uses says nothing about your data. {told}"
        )
    if _missed(checks):
        return (
            "Do not trust this explanation: another kind of model saves more than twice as much of the loss, so what "
            f"this one uses says little about your data. {told}"
        )
    if status == "fail":
        return f"Do not trust this explanation: it does not pass its own checks. {told}"
    if status == "weak":
        unknown = (
            ""
            if skill is not None and skill.status != "unmeasured"
            else (" Whether the model predicts anything was not measured.")
        )
        return f"Trust this explanation with care. {told}{unknown}"
    return f"This explanation passes its own checks. {told}"
