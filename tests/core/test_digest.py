"""One SHA-256 for what files and checkpoints know again, with the digests they always had."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import kaninterp as ki
from kaninterp.adapters import as_view
from kaninterp.core.digest import Digest
from kaninterp.data import Batch
from kaninterp.pruning.schedules.driver import _digest
from kaninterp.workflows.bend_trial import digest_of

PACKAGE = Path(ki.__file__).parent
X = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))


def sha(*parts):
    """Spelt out once more, as it was when the first files were written."""
    code = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            code.update(part.encode())
        elif isinstance(part, np.ndarray):
            code.update(np.ascontiguousarray(part).tobytes())
        else:
            code.update(part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return code.hexdigest()


class WithNote(nn.Module):
    """A model with something in its state that is no tensor."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.head = ki.KANHead(3, 1, (2,), generator=torch.Generator().manual_seed(0), domain=(-3, 3))

    def forward(self, x):
        return self.head(self.norm(x))

    def get_extra_state(self):
        return {"note": 7}

    def set_extra_state(self, state):
        del state


@pytest.mark.parametrize(
    "values",
    [
        X, X.T, X.double(), X.half(), X.bfloat16(), X > 0, X.long(), X[:0], X.clone().requires_grad_(),
        torch.tensor(3.0), X.numpy(), X.numpy().T, X.numpy()[:0], np.array(2.0), X.numpy() > 0, "wind über ☂",
    ],
    ids=str,
)  # fmt: skip
def test_whatever_the_kind_of_numbers_the_bytes_count(values):
    assert Digest(values).text == sha(values)
    assert Digest("a", None).add(values).short == sha("a", values)[:16]


def test_what_is_stored_in_files_keeps_its_digest():
    model = WithNote().eval()
    view, state = as_view(model), model.state_dict()
    parts = [p for layer in view.layers for p in (layer.knots, layer.alive, layer.bias)]
    weights = [part for name, weight in sorted(view.module.named_parameters()) for part in (name, weight)]
    assert view.fingerprint() == sha(f"KANHead{view.widths}{view.columns}", *parts, *weights)
    assert ki.trace(model, X, batch_size=7, progress=False).data_fingerprints == (sha(X),)
    assert Batch(inputs=(X, X), keys=None, target=X[:, 0]).digest == sha(X, X, X[:, 0])[:16]
    assert Batch(inputs=(X,), keys=None, target=None).digest == sha(X)[:16]
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    assert _digest(model) == sha(*(p for n, v in tensors.items() for p in (f"{n}{tuple(v.shape)}", v)))[:16]
    assert digest_of(model) == sha(*(p for n, v in state.items() for p in (n, v if n in tensors else repr(v))))


def test_it_is_spelt_in_one_place():
    spelt = [path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if "sha256" in path.read_text()]
    assert spelt == ["core/digest.py"]
