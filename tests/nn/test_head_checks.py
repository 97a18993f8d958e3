"""What a KANHead is built from: lists where lists are meant, whole numbers of any make."""

from __future__ import annotations

import numpy as np
import pytest

from kaninterp.core.errors import KanInterpError
from kaninterp.nn import KANHead


@pytest.mark.parametrize(
    "options", [{"hidden": 3}, {"select": 2}, {"node_ids": 3}, {"input_names": 3}, {"domain": 3}, {"hidden": "ab"}]
)
def test_what_is_no_list_is_refused_by_name(options):
    with pytest.raises(KanInterpError, match=next(iter(options)).split("_")[0]):
        KANHead(4, 1, **options)


def test_widths_of_numpy_are_plain_integers_afterwards():
    head = KANHead(np.int64(4), np.int64(1), np.array([2]))
    assert head.widths == (4, 2, 1)
    assert all(type(width) is int for width in (head.in_features, head.out_features, *head.config["hidden"]))


@pytest.mark.parametrize("wrong", [{"hidden": None}, {"domain": (1, 2, 3)}, {"select": [0.5]}, {"domain": "ab"}])
def test_values_that_would_be_misread_are_refused(wrong):
    with pytest.raises(KanInterpError):
        KANHead(3, 1, **wrong)
