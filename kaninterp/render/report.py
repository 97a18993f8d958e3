"""`Report`: a document with the forms a person asks for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from markupsafe import escape

from kaninterp.analysis.bundle import Analysis
from kaninterp.core.disk import write_atomically
from kaninterp.core.errors import ReportWriteError

from .blocks import Document
from .html import to_html
from .serial import to_json
from .text import to_text

__all__ = ["Report", "check_writable"]

FRAME_HEIGHT = 900


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What was found about a model, ready to be read.

    Parameters
    ----------
    document : Document
        What the report says.
    analysis : Analysis or None
        What it was made from: ``report.analysis.plan`` is the plan whose price it states.

    Notes
    -----
    In a notebook the report shows itself in a sandboxed frame; `print` gives plain text.
    """

    document: Document
    analysis: Analysis | None = None

    def to_html(self) -> str:
        """The report as one offline page."""
        return to_html(self.document)

    def to_json(self) -> str:
        """The report as one JSON object (the stable interface for programs)."""
        return to_json(self.document)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page to ``path`` (UTF-8, atomically: a failure leaves an old file as it was).

        Raises
        ------
        ReportWriteError
            The folder is missing or cannot be written to, or the path is a folder.
        """
        target = check_writable(path)
        content = self.to_html().encode("utf-8")
        try:
            write_atomically(target, content)
        except OSError as error:
            raise ReportWriteError(
                f"report: cannot write {str(target)!r} ({error}); the old file is unchanged"
            ) from error
        return target

    def _repr_html_(self) -> str:
        page = escape(self.to_html())
        return (
            f'<iframe sandbox="allow-scripts" srcdoc="{page}" title="kaninterp report" '
            f'style="width:100%;height:{FRAME_HEIGHT}px;border:0"></iframe>'
        )

    def __str__(self) -> str:
        return to_text(self.document)

    def __repr__(self) -> str:
        return f"Report({self.document.title!r}, sections={len(self.document.sections)})"


def check_writable(path: str | os.PathLike[str]) -> Path:
    """The path as it will be written to; call it before the work, so that nothing is measured in vain.

    Raises
    ------
    ReportWriteError
        The folder is missing or cannot be written to, or the path is a folder.
    """
    target = Path(path)
    if target.is_dir():
        raise ReportWriteError(f"report: {str(target)!r} is a folder; give a file name in it, such as report.html")
    folder = target.parent
    if not folder.is_dir():
        raise ReportWriteError(f"report: the folder {str(folder)!r} does not exist; make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ReportWriteError(f"report: no permission to write into {str(folder)!r}; choose another folder")
    return target
