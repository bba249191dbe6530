"""The figures as charts of Altair, for the Python API."""

from __future__ import annotations

from dataclasses import dataclass, field

import altair as alt

from normsweep.analysis.evidence import Evidence
from normsweep.errors import StoreError
from normsweep.reporting.figures.files import inline, svg_text
from normsweep.reporting.figures.gallery import CHARTS
from normsweep.reporting.figures.theme import CONFIG, WIDE, Style
from normsweep.reporting.figures.vega import Json

__all__ = ["Figures", "as_altair", "main_figure"]


@alt.theme.register("normsweep", enable=False)
def _house_style() -> alt.theme.ThemeConfig:
    return {"config": CONFIG}  # type: ignore[typeddict-item]  # a configuration, checked by Vega-Lite


@dataclass(frozen=True)
class Figures:
    """The figures of the report as charts of Altair, to be restyled, combined and saved.

    They have no style of their own, so that they can be combined: `figures.accuracy() |
    figures.forest()`. `altair.theme.enable("normsweep")` gives all charts the report's style, and
    without it they have Altair's. All methods raise a `StoreError` if there is nothing to draw yet.

    Attributes:
        width: of a figure in pixels; below 560, panels stand below one another.
    """

    evidence: Evidence = field(repr=False)
    width: float = WIDE

    def accuracy(self) -> alt.TopLevelMixin:
        """The metric on the test data after each epoch."""
        return self._chart("accuracy")

    def mechanism(self) -> alt.TopLevelMixin:
        """The gap of a raw input and what of it goes with each half."""
        return self._chart("mechanism")

    def inputs(self) -> alt.TopLevelMixin:
        """The inputs, and the network before and after the first epoch."""
        return self._chart("inputs")

    def gradients(self) -> alt.TopLevelMixin:
        """The norm of the gradient in each layer."""
        return self._chart("gradients")

    def endings(self, linear: bool = False) -> alt.TopLevelMixin:
        """How the trials of the search ended, by learning rate, optimizer and arm."""
        return self._chart("endings", linear)

    def stable_rates(self) -> alt.TopLevelMixin:
        """Learning rates that the curvature predicts to be stable, and those that the search tried."""
        return self._chart("stable_rates")

    def learning_rate(self, linear: bool = False) -> alt.TopLevelMixin:
        """The trials of the search by learning rate and optimizer."""
        return self._chart("learning_rate", linear)

    def tunability(self) -> alt.TopLevelMixin:
        """The best score of an arm by the number of its trials and by their time."""
        return self._chart("tunability")

    def budget(self) -> alt.TopLevelMixin:
        """The best score of an arm for each number of epochs."""
        return self._chart("budget")

    def forest(self) -> alt.TopLevelMixin:
        """The gaps of all questions with their intervals."""
        return self._chart("forest")

    def progress(self) -> alt.TopLevelMixin:
        """The trials of the search by the time at which they ended."""
        return self._chart("progress")

    def _chart(self, name: str, linear: bool = False) -> alt.TopLevelMixin:
        figure = CHARTS[name](self.evidence, Style(self.width, linear=linear))
        if figure.chart is None:
            raise StoreError(f"study {self.evidence.record.name}: {figure.missing}")
        return as_altair(figure.bare())


def as_altair(part: Json) -> alt.TopLevelMixin:
    """A chart in Vega-Lite as one of Altair's."""
    made: Json = {key: of for key, of in part.items() if key not in ("data", "params")}
    if "data" in part:
        made["data"] = alt.InlineData(**part["data"])
    if "params" in part:
        kinds = (alt.VariableParameter, alt.SelectionParameter)
        made["params"] = [kinds["select" in param](**param) for param in part["params"]]
    if "facet" in part:
        first, *others = part["spec"]["layer"]  # Altair combines facets by the names of these
        spec = {**part["spec"], "layer": [{**first, "name": "facet"}, *others]}
        return alt.FacetChart(**{**made, "spec": as_altair(spec)})
    kinds = {"layer": alt.LayerChart, "hconcat": alt.HConcatChart, "vconcat": alt.VConcatChart}
    kind = next((kind for kind in kinds if kind in part), None)
    if "encoding" in part:
        encoding = alt.SharedEncoding if kind else alt.FacetedEncoding
        made["encoding"] = encoding(**part["encoding"])
    if kind is None:
        return alt.Chart(**made)
    return kinds[kind](**{**made, kind: [as_altair(each) for each in part[kind]]})


def main_figure(found: Evidence) -> str:
    """The report's first figure as SVG for a page, in the colour of its text; empty if there is none yet."""
    figures = (CHARTS[name](found, Style()) for name in ("accuracy", "learning_rate"))
    figure = next((each for each in figures if each.chart is not None), None)
    if figure is None:
        return ""
    label = f"{figure.title}. {figure.description}"
    return inline(svg_text(figure.spec()), f"normsweep-{figure.name}", label)
