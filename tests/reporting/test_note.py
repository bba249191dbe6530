from normsweep.reporting.note import experiment_note
from normsweep.search import StudyInfo
from normsweep.spec import load_sweep

EVIL = '<img src=x onerror="alert(1)"> [a](javascript:alert(1)) `x` **y** | z'
DATA = {"name": EVIL, "source": EVIL, "digest": "d1", "train_images": 10, "test_images": 5, "classes": 10}  # fmt: skip


def test_names_in_the_note_are_text(sweep_file, parts, record):
    sweep = load_sweep(sweep_file, parts).model_copy(
        update={"question": f"# {EVIL}\n\n- {EVIL}", "reference": EVIL}
    )
    info = StudyInfo("base", "abc", sweep.plain(), DATA)
    records = [record(0, "none"), record(1, "unit")]
    note = experiment_note(sweep, info, records, lambda run: f"#/runs/{run}")
    assert "<" not in note
    assert "\\[a\\](javascript:alert(1)) \\`x\\` \\*\\*y\\*\\* \\| z" in note
    assert note.count("[a](") == 0
    assert [line for line in note.splitlines() if line.startswith("#")] == [
        "# base",
        "## Best trial of each arm, by validation accuracy after the last epoch",
        "## Trials",
    ]
    assert "[none, trial 0](#/runs/run0)" in note
