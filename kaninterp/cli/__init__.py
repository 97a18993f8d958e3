"""The command line: ``kaninterp card`` and ``kaninterp check``."""

from .main import main

__all__ = ["main"]
