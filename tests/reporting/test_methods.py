"""The methods paragraph: what an article has to say, and nothing that is not known."""

from dataclasses import replace

from normsweep.analysis.evidence import evidence
from normsweep.reporting.methods import methods, paragraph


def test_it_says_what_was_done_with_which_numbers(confirmed_record):
    said = methods(evidence(confirmed_record()))
    assert said["comparison"] == (
        "We compared 2 arms that differ in normalization: “none” and “unit”, with “unit” as the reference."
    )
    assert said["data"] == (
        "The data were mnist (Keras; 10 classes; SHA-256 of the arrays dddddddddddd). For each seed, the "
        "60,000 training images were split anew, stratified by class, into 48,000 for training and 12,000 "
        "for validation; 10,000 test images were kept apart."
    )
    assert "Each arm had 15 trials of a search of its own over learning rate (0.0001 to 0.1, log scale)" in said["search"]  # fmt: skip
    assert "the first trial was the declared baseline" in said["search"]
    assert (
        said["selection"]
        == "Configurations were selected by validation accuracy only, for 4 and for 6 epochs."
    )
    assert "trained with 5 fresh seeds, which all arms share" in said["confirmation"]
    assert "An equivalence margin of 0.2 percentage points of accuracy, a confidence of 95 %" in said["margin"]  # fmt: skip
    assert said["intervals"].startswith("Intervals of a difference to the reference: ")
    assert "Keras 3.15.1" in said["software"]


def test_one_epoch_is_one(confirmed_record):
    found = evidence(confirmed_record(confirm__baseline__epochs=1))
    last = found.record.analyses[-1]
    short = (replace(c, params={**c.params, "epochs": 1}) for c in last.configurations)
    record = replace(found.record, analyses=(replace(last, configurations=tuple(short)),))
    said = methods(replace(found, record=record))["selection"]
    assert said == "Configurations were selected by validation accuracy only, for 1 epoch."


def test_the_paragraph_has_all_sentences_in_their_order(confirmed_record):
    found = evidence(confirmed_record())
    text = paragraph(found)
    places = [text.index(sentence) for sentence in methods(found).values()]
    assert places == sorted(places)
    assert "\n" not in text


def test_what_is_not_known_is_left_out(confirmed_record):
    record = confirmed_record()
    begun = methods(evidence(replace(record, trials=(), analyses=())))
    assert set(begun) == {"comparison", "data", "training", "search", "margin", "software"}
    assert "confirmation" not in begun


def test_another_metric_is_named(confirmed_record):
    said = methods(evidence(confirmed_record(confirm__margin=0.01)))
    assert "margin of 1 percentage point of accuracy" in said["margin"]
