from normsweep.reporting.note import Pages, experiment_note
from normsweep.sweep.loading import load_sweep
from normsweep.sweep.study_record import DataFacts, StudyRecord

EVIL = '<img src=x onerror="alert(1)"> [a](javascript:alert(1)) `x` **y** | z'
DATA = DataFacts(name=EVIL, source=EVIL, digest="d1", train_images=10, test_images=5, classes=10)  # fmt: skip


def test_names_in_the_note_are_text(sweep_file, parts, record):
    sweep = load_sweep(sweep_file, parts).model_copy(
        update={"question": f"# {EVIL}\n\n- {EVIL}", "reference": EVIL}
    )
    trials = (record(0, "none"), record(1, "unit"))
    study = StudyRecord("base", "abc", sweep, DATA, trials=trials)
    pages = Pages(
        run=lambda run: f"#/runs/{run}",
        views={"every trial": "#/view"},
        models={EVIL: "models:/base@arm"},
        report="#/report",
        figure="get-artifact?path=f.png",
    )
    note = experiment_note(study, pages)
    assert "<" not in note
    assert "\\[a\\](javascript:alert(1)) \\`x\\` \\*\\*y\\*\\* \\| z" in note
    assert note.count("[a](") == 0
    assert [line for line in note.splitlines() if line.startswith("#")] == [
        "## Best trial of each arm, by validation accuracy after the last epoch",
        "## Trials",
    ]
    assert "[none, trial 0](#/runs/run0)" in note
    assert "Open: [every trial](#/view), [the whole report](#/report)" in note
    assert "![Accuracy after each epoch](get-artifact?path=f.png)" in note
    assert note.startswith("**No answer yet: ")
