"""Attributions rolled up: per column, per time lag, per cell of the two, or per group of columns, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from kaninterp.core.errors import InputError, NamesError
from kaninterp.core.evidence import InputAttribution

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ROLL_UPS", "roll_up"]

ROLL_UPS = {
    "feature": ("feature",),
    "lag": ("lag",),
    "cell": ("feature", "lag"),
    "group": ("group",),
    "group lag": ("group", "lag"),
}
"""What a row of the table stands for, by name: the columns that tell the rows apart."""


def roll_up(
    attribution: InputAttribution,
    by: str = "feature",
    *,
    output: int = 0,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> pd.DataFrame:
    """Roll the attributions of one output up into a table.

    Parameters
    ----------
    attribution : InputAttribution
        As `kaninterp.attribute` gives it.
    by : {"feature", "lag", "cell", "group", "group lag"}
        What a row stands for: a column, a time lag (an event), both, a group of columns, a group at a lag.
    output : int
        Which output of the model.
    groups : mapping of str to sequence of str, optional
        Names of groups and of their columns, for "group"; columns in no group stay on their own.

    Returns
    -------
    DataFrame
        Columns: baseline, feature / lag / group, ``signed`` (mean effect, in units of the output), ``magnitude``
        (mean absolute effect, summed over what is rolled up) and ``share`` of all magnitude of that baseline. Largest
        share first within each baseline; lags in their order.

    Raises
    ------
    InputError
        Another ``by``, no such output, or groups where none are asked for.
    NamesError
        A group with a column that is not there, or a column in two groups.

    Examples
    --------
    >>> import torch, kaninterp as ki
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 2), ki.KANHead(2, 1))
    >>> found = ki.attribute(model, torch.randn(50, 3), progress=False)
    >>> table = roll_up(found, "group", groups={"weather": ["x0", "x2"]})
    >>> sorted(table["group"].unique()), round(float(table["share"].sum()), 6)  # two baselines
    (['weather', 'x1'], 2.0)
    """
    import pandas as pd

    keys = _keys(by, groups)
    outputs = attribution.signed.shape[1]
    if not 0 <= output < outputs:
        raise InputError(f"output={output!r}; allowed: 0 to {outputs - 1}")
    labels = dict(zip(attribution.names, attribution.names, strict=True)) | _members(groups, attribution.names)
    lags, features = np.meshgrid(np.arange(attribution.signed.shape[2]), attribution.names, indexing="ij")
    tables = [
        pd.DataFrame(
            {
                "baseline": baseline,
                "feature": features.ravel(),
                "group": [labels[name] for name in features.ravel()],
                "lag": lags.ravel(),
                "signed": attribution.signed[b, output].ravel(),
                "magnitude": attribution.magnitude[b, output].ravel(),
            }
        )
        for b, baseline in enumerate(attribution.baselines)
    ]
    every = pd.concat(tables, ignore_index=True)
    found = every.groupby(["baseline", *keys], sort=False, as_index=False)[["signed", "magnitude"]].sum()
    total = found.groupby("baseline")["magnitude"].transform("sum")
    found["share"] = np.divide(found["magnitude"], total, out=np.zeros(len(found)), where=total > 0)
    place = found["baseline"].map({name: b for b, name in enumerate(attribution.baselines)})
    order = found.assign(place=place, size=-found["share"] if keys != ("lag",) else found["lag"])
    rows = order.sort_values(["place", "size"], kind="stable").index
    table: pd.DataFrame = found.loc[rows].reset_index(drop=True)
    return table


def _keys(by: str, groups: Mapping[str, Sequence[str]] | None) -> tuple[str, ...]:
    if by not in ROLL_UPS:
        raise InputError(f"by={by!r}; allowed: {', '.join(map(repr, ROLL_UPS))}")
    keys = ROLL_UPS[by]
    if ("group" in keys) != (groups is not None):
        raise InputError(f"by={by!r} {'needs' if 'group' in keys else 'has no use for'} groups; give both or none")
    return keys


def _members(groups: Mapping[str, Sequence[str]] | None, names: tuple[str, ...]) -> dict[str, str]:
    """Column -> its group."""
    found: dict[str, str] = {}
    for group, members in (groups or {}).items():
        for name in members:
            if name not in names:
                raise NamesError(
                    f"group {group!r} has a column {name!r} that is not there; columns: {', '.join(names)}"
                )
            if name in found:
                raise NamesError(
                    f"column {name!r} is in the groups {found[name]!r} and {group!r}; allowed: one of them"
                )
            found[name] = group
    return found
