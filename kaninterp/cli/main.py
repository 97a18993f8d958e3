"""`main`: parse, run, and leave with 0 (fine), 1 (findings) or 2 (it could not be done as asked)."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kaninterp.core.disk import write_atomically
from kaninterp.core.errors import KanInterpError

__all__ = ["main"]

FINE, FINDINGS, FAILED = 0, 1, 2

MODEL = "a head written by save_head (.safetensors), or package.module:name of a model or a function that makes one"
DATA = "a .csv file with a header, or a .npy array (rows, columns) or (rows, lags, columns)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the arguments are those of the process unless others are given.

    Returns
    -------
    int
        0: fine. 1: a check found something. 2: wrong usage, files or data; standard error says what.
    """
    asked = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = asked.run
    try:
        return run(asked)
    except KanInterpError as error:
        sys.stderr.write(f"kaninterp: {error}\n")
    except Exception:  # Python itself would leave with 1, which says that there are findings
        traceback.print_exc()
    return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kaninterp", description="Look after models with a KAN inside.")
    commands = parser.add_subparsers(required=True, metavar="command")
    check = commands.add_parser("check", help="hold new data against the card of a model; 1 if something is found")
    check.add_argument("model", help=MODEL)
    check.add_argument("data", help=DATA)
    check.add_argument("--card", required=True, help="the range card, as written by the card command")
    check.add_argument("--format", choices=("text", "json", "junit"), default="text", help="of the result")
    check.add_argument("--out", help="write the result to this file instead of standard output")
    check.set_defaults(run=_check)
    card = commands.add_parser("card", help="write the range card of a model")
    card.add_argument("model", help=MODEL)
    card.add_argument("data", help=f"what the model was trained on: {DATA}")
    card.add_argument("--out", required=True, help="where to write the card (JSON)")
    card.set_defaults(run=_card)
    for command in (check, card):
        command.add_argument("--target", help="column that is the target, and no input")
        command.add_argument("--columns", help="names of the columns of an array, separated by commas")
        command.add_argument("--path", help="where the KAN sits, if the model has several")
    return parser


def _check(asked: argparse.Namespace) -> int:
    from kaninterp.cli.inputs import data_of, model_of
    from kaninterp.workflows import check

    found = check(model_of(asked.model), data_of(asked.data), card=asked.card, **_options(asked))
    written = {"text": lambda: f"{found}\n", "json": lambda: f"{found.to_json()}\n", "junit": found.to_junit}
    text = written[asked.format]()
    if asked.out is None:
        _show(text)
    else:
        write_atomically(Path(asked.out), text.encode("utf-8"))
    return FINE if found.ok else FINDINGS


def _show(text: str) -> None:
    """Write UTF-8 whatever the terminal is said to speak: marks and names need it, and XML says so of itself."""
    bare = getattr(sys.stdout, "buffer", None)
    if bare is None:  # a stand-in for standard output
        sys.stdout.write(text)
        return
    sys.stdout.flush()
    bare.write(text.encode("utf-8"))
    bare.flush()


def _card(asked: argparse.Namespace) -> int:
    from kaninterp.cli.inputs import data_of, model_of
    from kaninterp.measure import range_card

    range_card(model_of(asked.model), data_of(asked.data), **_options(asked)).save(asked.out)
    return FINE


def _options(asked: argparse.Namespace) -> dict[str, Any]:
    names = None if asked.columns is None else [name.strip() for name in asked.columns.split(",")]
    return {"target": asked.target, "feature_names": names, "path": asked.path, "progress": False}
