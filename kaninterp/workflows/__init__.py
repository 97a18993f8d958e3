"""Whole workflows: measure, conclude, render, in one call."""

from kaninterp.workflows.bending import would_bend
from kaninterp.workflows.checking import check
from kaninterp.workflows.reporting import prune_page, report

__all__ = ["check", "prune_page", "report", "would_bend"]
