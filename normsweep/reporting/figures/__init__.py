"""The figures of a report: each drawn from `Evidence` alone, with one style for all; None where there is nothing to draw."""
