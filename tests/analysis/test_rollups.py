"""Roll-ups: nothing is lost on the way from cells to columns, lags and groups."""

import numpy as np
import pytest

from kaninterp.analysis import roll_up
from kaninterp.core import InputAttribution
from kaninterp.core.errors import InputError, NamesError

NAMES = ("a", "b", "c", "<d>")


def attribution(outputs=2, lags=5, seed=0):
    rng = np.random.default_rng(seed)
    signed = rng.normal(size=(2, outputs, lags, 4))
    return InputAttribution(
        names=NAMES, rows=10, baselines=("mean", "other"), signed=signed, magnitude=np.abs(signed) + 0.1,
        residual=np.zeros((2, outputs)), perturbation=np.ones((outputs, 4)), node_lags=(),
    )  # fmt: skip


@pytest.mark.parametrize(("by", "rows"), [("feature", 4), ("lag", 5), ("cell", 20), ("group", 3), ("group lag", 15)])
@pytest.mark.parametrize("output", [0, 1])
def test_sums_stay_what_they_are(by, rows, output):
    found = attribution()
    groups = {"both": ["a", "c"]} if "group" in by else None
    table = roll_up(found, by, output=output, groups=groups)
    assert len(table) == 2 * rows
    for b, (_, part) in enumerate(table.groupby("baseline", sort=False)):
        assert part["signed"].sum() == pytest.approx(found.signed[b, output].sum())
        assert part["magnitude"].sum() == pytest.approx(found.magnitude[b, output].sum())
        assert part["share"].sum() == pytest.approx(1)
        if by == "lag":
            assert part["lag"].tolist() == list(range(5))
        else:
            assert part["share"].is_monotonic_decreasing


def test_single_cells_and_groups():
    found = attribution()
    cells = roll_up(found, "cell").set_index(["baseline", "feature", "lag"])
    assert cells.loc[("other", "<d>", 3), "signed"] == pytest.approx(found.signed[1, 0, 3, 3])
    groups = roll_up(found, "group", groups={"both": ["a", "c"]}).set_index(["baseline", "group"])
    assert groups.loc[("mean", "both"), "signed"] == pytest.approx(found.signed[0, 0, :, [0, 2]].sum())
    assert groups.loc[("mean", "b"), "magnitude"] == pytest.approx(found.magnitude[0, 0, :, 1].sum())


def test_what_is_not_there_is_refused():
    found = attribution()
    with pytest.raises(InputError, match="by='row'; allowed: 'feature', 'lag'"):
        roll_up(found, "row")
    with pytest.raises(InputError, match="output=2; allowed: 0 to 1"):
        roll_up(found, output=2)
    with pytest.raises(InputError, match="needs groups"):
        roll_up(found, "group")
    with pytest.raises(InputError, match="has no use for groups"):
        roll_up(found, "lag", groups={"x": ["a"]})
    with pytest.raises(NamesError, match="column 'z' that is not there"):
        roll_up(found, "group", groups={"x": ["z"]})
    with pytest.raises(NamesError, match="'a' is in the groups 'x' and 'y'"):
        roll_up(found, "group", groups={"x": ["a"], "y": ["a"]})
