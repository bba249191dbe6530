"""Numbers in, pages out: the console, and table formats."""

from normsweep.reporting.console import (
    Display,
    LiveDisplay,
    PlainDisplay,
    make_display,
    print_table,
)
from normsweep.reporting.formats import FORMATS, Format, render
from normsweep.reporting.note import experiment_note
from normsweep.reporting.plan import Plan, plan_lines

__all__ = [
    "FORMATS",
    "Display",
    "Format",
    "LiveDisplay",
    "PlainDisplay",
    "Plan",
    "experiment_note",
    "make_display",
    "plan_lines",
    "print_table",
    "render",
]
