"""An analysis, or a pruning, as a document, and the document as a page, as text and as JSON."""

from .blocks import Document
from .check_report import CheckReport
from .document import document
from .html import to_html
from .prune_page import prune_document
from .report import Report, check_writable
from .serial import to_json
from .text import to_text

__all__ = [
    "CheckReport",
    "Document",
    "Report",
    "check_writable",
    "document",
    "prune_document",
    "to_html",
    "to_json",
    "to_text",
]
