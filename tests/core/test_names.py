from __future__ import annotations

import numpy as np
import pytest

from kaninterp.core.errors import InputTypeError, NamesError
from kaninterp.core.names import check_names, find_name


@pytest.mark.parametrize(
    ("names", "error", "words"),
    [
        (["a"], NamesError, "2 columns, got 1"),
        (["a", "a"], NamesError, r"\['a'\] more than once"),
        ([1, "1"], NamesError, "more than once"),
        ("ab", NamesError, "single text"),
        (7, InputTypeError, "got int"),
    ],
)
def test_names_that_do_not_fit(names, error, words):
    with pytest.raises(error, match=words):
        check_names(names, 2, what="feature_names", prefix="x")


def test_any_text_is_a_name():
    hostile = ["</script>", "", "\x00", "\u202eabc", "x" * 300]
    assert check_names(iter(hostile), 5, what="names", prefix="x") == tuple(hostile)


def test_a_name_or_an_index_is_found():
    assert find_name("b", ("a", "b"), what="input") == 1
    assert find_name(np.int64(1), ("a", "b"), what="input") == 1
    for wrong in ("c", 2, -1, True):
        with pytest.raises(NamesError):
            find_name(wrong, ("a", "b"), what="input")
