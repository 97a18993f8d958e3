"""One thread per worker, as many workers as cores; and the same random examples in every run of CI."""

import os

import torch
from hypothesis import settings

torch.set_num_threads(1)

# a developer's run looks for new examples, CI repeats known ones: a commit does not fail by chance
settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    settings.load_profile("ci")
