"""One thread per worker: the suite runs on as many workers as there are cores."""

import torch

torch.set_num_threads(1)
