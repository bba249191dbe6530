import json

import pytest

from normsweep.tracking.views import find_runs, run_address, views


def test_the_views_show_runs_as_they_are_and_rates_by_their_logarithm():
    made = {key: json.loads(text) for key, text in views(["optimizer"], "log_loss", False).items()}
    assert {key: view["searchFilter"] for key, view in made.items()} == {
        "trials": "tags.`normsweep.phase` = 'search'",
        "best": "tags.`normsweep.best_of_arm` = 'true'",
        "confirmed": "tags.`normsweep.phase` = 'mean'",
    }
    assert all(view["groupBy"] is None and view["orderByAsc"] for view in made.values())
    charts = {chart["type"]: chart for chart in made["trials"]["compareRunCharts"]}
    assert charts["SCATTER"]["xaxis"]["key"] == "log10_learning_rate"
    assert charts["PARALLEL"]["selectedParams"] == ["optimizer", "log10_learning_rate", "epochs"]
    assert "params.`learning_rate`" in made["trials"]["selectedColumns"]


def test_a_run_has_an_address_where_a_browser_can_open_mlflow():
    address = run_address("http://mlflow:5000/", "7")
    assert address is not None
    assert (
        address("abc")
        == "http://mlflow:5000/#/experiments/7/runs/abc?workflowType=machine_learning"
    )


@pytest.mark.parametrize("mlflow", ["", "http://me:secret@mlflow:5000"])
def test_a_database_and_an_address_with_a_password_have_no_page(mlflow):
    assert run_address(mlflow, "7") is None


def test_a_database_is_not_even_opened(tmp_path):
    assert find_runs(f"sqlite:///{tmp_path}/none.db", "mnist", None) is None
