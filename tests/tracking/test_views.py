import pytest

from normsweep.tracking.views import find_runs, run_address


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
