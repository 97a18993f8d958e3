"""An analysis as a document, and the document as a page, as text and as JSON."""

from .blocks import Document
from .document import document
from .html import to_html
from .report import Report, check_writable
from .serial import to_json
from .text import to_text

__all__ = ["Document", "Report", "check_writable", "document", "to_html", "to_json", "to_text"]
