"""What the package shows, and what importing it costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import kaninterp as ki

ROOT = Path(ki.__file__).parent
HEAVY = ("torch", "pandas", "captum", "networkx", "jinja2", "matplotlib")


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_public_names_are_sorted_and_all_there():
    assert ki.__all__ == sorted(ki.__all__)
    # 30 names and __version__; from_kan came with the adapters: what a KAN of another library is made into
    assert len(ki.__all__) <= 32
    assert set(ki.__all__) == {*ki._HOMES, "__version__"}
    for name in ki.__all__:
        assert getattr(ki, name) is not None
    assert set(ki.__all__) <= set(dir(ki))


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(AttributeError, match="report"):
        ki.rapport  # noqa: B018


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import kaninterp", HEAVY),
        ("import kaninterp; kaninterp.KanInterpError", HEAVY),
        ("import kaninterp.core", HEAVY),
        ("import kaninterp.analysis", ("torch", "captum", "pandas", "jinja2")),
        ("import kaninterp.render", ("torch", "captum", "pandas")),
    ],
)
def test_imports_stay_light(statement, forbidden):
    assert not loaded_by(statement) & set(forbidden)


def test_every_error_has_a_builtin_parent_and_a_place_in_the_tree():
    from kaninterp.core import errors

    for name in errors.__all__:
        cls = getattr(errors, name)
        assert issubclass(cls, ki.KanInterpError)
        if cls is not ki.KanInterpError:
            assert any(base.__module__ == "builtins" and base is not Exception for base in cls.__mro__[1:-3])
        assert name in errors.__doc__


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_the_library_neither_prints_nor_pickles_nor_seeds(path):
    tree = ast.parse(path.read_text())
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    banned = {"print", "exec", "eval", "torch.manual_seed", "random.seed", "torch.load", "torch.save", "pickle.load"}
    allowed = {"np.random.seed", "random.seed"} if path.name == "rng.py" else set()  # it gives the state back
    assert not called & (banned - allowed)
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not imported & {"pickle", "requests", "urllib", "socket", "logging"}
