"""What a swap test says: numbers beside every claim, and nothing that a share above all of it would pretend."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kaninterp.analysis.swaps import swap_words
from kaninterp.core import Estimate
from kaninterp.core.substitutes import Swap


def near(value, width=0.03):
    return Estimate(value=value, low=value - width, high=value + width)


SWAP = Swap(
    dropped="b", survivor="a", dropped_index=1, survivor_index=0, correlation=0.99, smooth_r2=0.98, test="refit",
    loss="mse", lost=near(0.3), recovered=near(0.93), others=near(0.05), rise=near(0.3), rows=600, held_out=400,
    epochs=9,
)  # fmt: skip


def test_a_survivor_that_costs_no_more_than_chance_is_said_with_its_interval():
    text = swap_words(replace(SWAP, test="nothing-lost", lost=Estimate(value=0.236, low=-0.431, high=0.896)))
    assert text == (
        "Holding a at its mean raises the loss by no more than chance (+0.236, 95 % interval −0.431 to +0.896), so a "
        "swap shows nothing here."
    )


@pytest.mark.parametrize(("others", "told"), [(0.05, False), (0.92, True)])
def test_a_column_that_the_others_can_do_without_is_called_one_of_several(others, told):
    text = swap_words(replace(SWAP, others=near(others)))
    assert f"the other columns alone win back {100 * others:.0f} %" in text
    assert ("one of several" in text) is told


def test_a_refit_that_mends_more_than_was_lost_is_not_written_as_a_share():
    text = swap_words(replace(SWAP, recovered=near(22.3), others=near(21.3)))
    assert "all of the loss, and more" in text
    assert text.endswith("so do the other columns without it.")
    assert " 2,230 %" not in text
    assert "2230" not in text
