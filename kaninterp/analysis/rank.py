"""Rank agreement between readings of importance: `kaninterp.core.rank`, under the name that conclusions know it by."""

from kaninterp.core.rank import ranks, spearman

__all__ = ["ranks", "spearman"]
