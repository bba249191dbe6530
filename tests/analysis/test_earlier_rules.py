"""A study that was confirmed under rules 2 is read as the version read it that confirmed it."""

import gzip
import json
from pathlib import Path

import pandas as pd
import pytest

from normsweep.analysis.evidence import Evidence, evidence
from normsweep.analysis.rules import Missing
from normsweep.reporting.answer import study_answer
from normsweep.reporting.commands import Commands
from normsweep.reporting.evidence_tables import verdict_table
from normsweep.store.storage import read_study

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """Four arms on 360 images, analysed after 5 and after 6 seeds, by the last version with rules 2."""
    path = tmp_path_factory.mktemp("begun") / "optuna.db"
    path.write_bytes(gzip.decompress((HERE / "begun_under_rules_2.db.gz").read_bytes()))
    return evidence(read_study(f"sqlite:///{path}", "begun"))


def test_its_verdicts_are_as_they_were(found):
    recorded = json.loads((HERE / "begun_under_rules_2.json").read_text())
    before = pd.DataFrame(recorded["verdicts"])
    now = verdict_table(found.verdicts)
    assert set(now["word"]) == {"catches up", "does not catch up", "not enough evidence"}
    assert (now["outcome"] == now["word"]).all()
    for column in before.columns.drop("warnings"):
        ours, theirs = now[column].tolist(), before[column].tolist()
        for mine, its in zip(ours, theirs, strict=True):
            if isinstance(its, float):
                assert pd.isna(mine) if pd.isna(its) else mine == pytest.approx(its, abs=1e-12)
            else:
                assert mine == its, column


def test_its_answer_has_its_words_and_says_by_which_rules_it_is_read(found):
    answer = study_answer(found)
    assert "“none” catches up at epoch 7" in answer
    assert "“standardize” does not catch up within 8 epochs" in answer
    assert "“center” has not enough evidence" in answer
    assert answer.endswith("read by the rules of an earlier version, under which it was created.")


def test_the_command_that_opens_a_study_by_todays_rules_is_given(found):
    assert Commands(found.record).reproduce()[-1] == (
        "python -m normsweep.study SWEEP.toml --study-name begun-2 --reuse begun"
    )


def test_it_is_known_by_its_rules(found):
    assert {verdict.rules for verdict in found.verdicts} == {2}
    assert all(verdict.earlier for verdict in found.verdicts)
    assert {verdict.window for verdict in found.verdicts if verdict.horizon == 8} == {3}
    assert Missing.MORE_IMAGES in {verdict.missing for verdict in found.verdicts}
