"""Models in these tests start from the same weights every time; the tests' own data have generators."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _same_weights():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
