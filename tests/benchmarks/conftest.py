"""An interleaved timer: every contestant runs once per round, and ratios are taken within a round.

A busy machine slows a whole round, not one contestant, so the median of the ratios is what can be compared.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import pytest
import torch

Job = Callable[[], object]


def interleaved(
    jobs: Mapping[str, Job],
    *,
    unit: str,
    rounds: int = 15,
    budget: float = 3.0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, tuple[float, float]]:
    """Median ratio to the unit and median seconds, per contestant; stops after the budget but not before 5 rounds."""
    for job in jobs.values():
        job()
        job()  # compilers and allocators settle in the first calls
    times: dict[str, list[float]] = {name: [] for name in jobs}
    began = time.perf_counter()
    for index in range(rounds):
        first = index % len(
            jobs
        )  # whoever always ran behind the same neighbour would find what that leaves in the cache
        for name, job in [*jobs.items()][first:] + [*jobs.items()][:first]:
            start = clock()
            job()
            times[name].append(clock() - start)
        if index >= 4 and time.perf_counter() - began > budget:
            break
    return {
        name: (statistics.median(t / u for t, u in zip(seconds, times[unit], strict=True)), statistics.median(seconds))
        for name, seconds in times.items()
    }


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=[1, 2], ids=["1 thread", "2 threads"])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)
