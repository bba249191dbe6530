"""Data in memory in all the forms in which people have it, and what is said of data that will not do."""

import itertools
import re

import numpy as np
import pandas as pd
import pytest

from normsweep.errors import DataError
from normsweep.parts import arrays, datasets
from normsweep.parts.dataset import Dataset
from normsweep.parts.tables import Table

LABELS = np.arange(12) % 3


def table(n: int = 12, features: int = 4) -> np.ndarray:
    return np.random.default_rng(n).normal(size=(n, features))


def images(n: int = 12, kind: str = "uint8") -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, (n, 4, 5)).astype(kind)


def frame(values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(values, columns=[f"f{i}" for i in range(values.shape[1])])


def refused(data) -> str:
    with pytest.raises(DataError) as caught:
        Dataset.of(data)
    (line,) = caught.value.lines
    assert re.search("expected |must ", line)
    return line


def test_every_form_of_a_table_is_the_same_data():
    x, y, x_test, y_test = table(), LABELS, table(6), LABELS[:6]
    forms = [
        (x, y, x_test, y_test),
        [x, y.tolist(), x_test, y_test.tolist()],
        ((x, y), (x_test, y_test)),
        {"x_train": x, "y_train": y, "x_test": x_test, "y_test": y_test},
        (frame(x), pd.Series(y), frame(x_test), pd.Series(y_test)),
        (frame(x), pd.Series(y), frame(x_test)[["f3", "f0", "f2", "f1"]], pd.Series(y_test)),
        (list(zip(x, y, strict=True)), zip(x_test, y_test, strict=True)),
    ]
    forms.append(dict(zip(arrays.ARRAYS, forms[5], strict=True)))
    made = [Dataset.of(form, name="mine") for form in forms]
    assert len({data.digest for data in made}) == 1
    assert (made[0].name, made[0].source) == ("mine", "arrays in memory")
    assert (made[0].input_shape, made[0].sample_shape, made[0].classes) == ((4,), (4,), 3)
    assert Dataset.of(made[0]) is made[0]


def test_names_of_columns_are_kept_in_every_form():
    x, y, x_test, y_test = frame(table()), LABELS, frame(table(6)), LABELS[:6]
    forms = [
        (x, y, x_test, y_test),
        ((x, y), (x_test, pd.Series(y_test))),
        [[x, y.tolist()], [x_test, y_test]],
        dict(zip(arrays.ARRAYS, (x, y, x_test, y_test), strict=True)),
    ]
    for form in forms:
        assert Dataset.of(form).columns == ("f0", "f1", "f2", "f3")
        assert Dataset.of(arrays.readable(form)).columns == ("f0", "f1", "f2", "f3")


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3)], ids=["grey", "colour"])
def test_iterables_of_images_are_stacked_in_their_own_type(kind, shape):
    def pairs(n):
        for i in range(n):
            yield np.full(shape, i, kind), i % 3

    data = Dataset.of((pairs(12), pairs(6)))
    assert data.x_train.dtype == kind
    assert (data.sample_shape, len(data.input_shape)) == (shape, 3)
    assert data.x_train[7].max() == 7
    assert data.y_test.tolist() == [0, 1, 2, 0, 1, 2]


def test_a_frame_of_mixed_columns_becomes_one_type():
    mixed = pd.DataFrame(
        {"a": np.arange(12), "b": LABELS == 1, "c": pd.array(np.arange(12) / 2, "Float64")}
    )
    data = Dataset.of((mixed, LABELS, mixed[:6], LABELS[:6]))
    assert data.x_train.dtype == np.float64
    assert data.x_train[4].tolist() == [4.0, 1.0, 2.0]
    whole = mixed.assign(c=np.arange(12))  # integers in one of the sets only
    for train, test in ((mixed, whole), (whole, mixed)):
        assert Dataset.of((train, LABELS, test, LABELS)).x_test.dtype == np.float64


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        pytest.param(np.array([*"cab"] * 4), ("a", "b", "c"), id="texts"),
        pytest.param(pd.Series([*"cab"] * 4, dtype="category"), ("a", "b", "c"), id="categories"),
        pytest.param(np.array([*"cab"] * 4, object), ("a", "b", "c"), id="objects"),
        pytest.param(np.array([30, -1, 7] * 4), ("-1", "7", "30"), id="holes"),
    ],
)
def test_labels_that_are_no_class_numbers_are_mapped_and_the_mapping_is_kept(
    tmp_path, labels, names
):
    data = Dataset.of((table(), labels, table(6), labels[:6]))
    assert data.labels == names
    assert data.y_train.tolist() == [2, 0, 1] * 4
    assert Dataset.open(tmp_path, data.save(tmp_path)).labels == names


def test_columns_of_one_hot_frames_are_classes_by_their_name():
    texts = pd.Series([*"cab"] * 4)
    test = pd.get_dummies(pd.Series([*"ccaaac"]))[["c", "a"]]  # no test row of class b
    data = Dataset.of((frame(table()), pd.get_dummies(texts), frame(table(6)), test))
    assert data.labels == ("a", "b", "c")
    assert [data.labels[i] for i in data.y_train] == [*texts]
    assert [data.labels[i] for i in data.y_test] == [*"ccaaac"]
    sparse = pd.get_dummies(texts).assign(aa=False)[["aa", "c", "a", "b"]]
    assert Dataset.of((table(), sparse, table(6), test)).labels == ("c", "a", "b")
    numbers = pd.DataFrame(np.eye(3)[LABELS])
    assert Dataset.of((table(), numbers, table(6), numbers[:6])).labels == ()


def test_columns_of_targets_are_matched_by_name():
    y = pd.DataFrame({"u": np.arange(12) + 0.5, "v": 100.5})
    data = Dataset.of((table(), y, table(6), y[:6][["v", "u"]]))
    np.testing.assert_array_equal(data.y_test, data.y_train[:6])
    alone = Dataset.of((table(), y[["u"]], table(6), y[:6][["u"]].set_axis(["w"], axis=1)))
    np.testing.assert_array_equal(alone.y_test, alone.y_train[:6])


def test_labels_of_an_archive_are_mapped_too(tmp_path):
    x, y = table(), np.array(["no", "yes"] * 6)
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    data = datasets.load(str(tmp_path / "own.npz"))
    assert (data.labels, data.classes, data.input_shape) == (("no", "yes"), 2, (4,))


def test_yes_and_no_are_two_classes_under_no_other_name():
    data = Dataset.of((table(), LABELS == 1, table(6), LABELS[:6] == 1))
    assert (data.labels, data.y_train.tolist()) == ((), (LABELS == 1).astype(int).tolist())


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (5, "got int"),
        ((table(), LABELS, table(6)), "got tuple of 3"),
        ("mnist", "got str"),
        ({"x_train": table()}, "got x_train"),
        ((5, table()), "got int for train"),
        (((i for i in range(3)), []), "item 0 of train: expected (image, label), got int"),
        (
            ([(np.zeros((4, 4)), 0), (np.zeros((4, 5)), 1)], []),
            "image 1 of train: expected shape (4, 4), as of the first image, got (4, 5)",
        ),
        (([], []), "train: expected at least one image"),
        (
            (table(), LABELS, table(6, 5), LABELS[:6]),
            "x_test: expected images of shape (4,), as in x_train, got (5,)",
        ),
        ((table(), LABELS[:9], table(6), LABELS[:6]), "9 labels for 12 images"),
        (
            (table() * np.nan, LABELS, table(6), LABELS[:6]),
            "got 48 values that are NaN, infinite or beyond",
        ),
        (
            (table(), LABELS * 1.0, table(6), LABELS[:6]),
            "y_train: expected integers or strings, one per image, got dtype float64",
        ),
        (
            (table(), [None, *LABELS[1:]], table(6), LABELS[:6]),
            "y_train: expected a label for each row, got 1 missing one; drop these rows",
        ),
        (
            (table(), LABELS, table(6), np.full(6, 9)),
            "y_test: expected the labels of y_train (0, 1, 2), got 9",
        ),
        (
            (table(), np.eye(3)[LABELS], table(6), np.eye(2)[LABELS[:6] % 2]),
            "y_test: expected one-hot rows of 3 classes, as in y_train, got 2",
        ),
        (
            (table(), pd.get_dummies([*"abc"] * 4), table(6), pd.get_dummies([*"abcdab"])),
            "expected the same columns in y_train and y_test; only one of them has 'd'",
        ),
        (
            (table(), frame(table()), table(6), frame(table(6, 3))),
            "expected the same columns in y_train and y_test; only one of them has 'f3'",
        ),
        (
            (table(), pd.Series(LABELS, dtype="Int64").mask(LABELS == 2), table(6), LABELS[:6]),
            "y_train: expected a label for each row, got 4 missing ones (NaN); drop these rows",
        ),
        (
            (table(), np.r_[np.nan, LABELS[1:]], table(6), LABELS[:6]),
            "y_train: expected a label for each row, got 1 missing one (NaN); drop these rows",
        ),
        (
            (table(), table(6), LABELS, LABELS[:6]),
            "got the lengths of x_train, x_test, y_train, y_test, the order of scikit-learn's",
        ),
        (
            (frame(table()), frame(table(6))),
            "got only DataFrame of shape (12, 4) and DataFrame of shape (6, 4) (data.target_column is for files",
        ),
        ((images(), LABELS), "got only ndarray of shape (12, 4, 5) and ndarray of shape (12,)"),
        (
            (frame(table()).astype(object), LABELS, frame(table(6)).astype(object), LABELS[:6]),
            "expected numeric columns, got numbers as objects in f0, f1, f2, f3; convert them with .astype(float)",
        ),
        (
            (table().astype(object), LABELS, table(6), LABELS[:6]),
            "got object; convert numbers with .astype(float)",
        ),
        (
            (table(60), np.arange(60), table(6), LABELS[:6]),
            "at least two rows of each class, one of them for validation, got one of class 0 (60 different numbers); for a",
        ),
        ((table(0), LABELS[:0], table(6), LABELS[:6]), "x_train: expected at least one image"),
        ((frame(table()), LABELS, frame(table(6, 3)), LABELS[:6]), "only one of them has 'f3'"),
        (
            (frame(table()).assign(town="x"), LABELS, frame(table(6)).assign(town="x"), LABELS[:6]),
            "x_train: expected numeric columns, got town",
        ),
        (
            (frame(table()).where(table() > 0), LABELS, frame(table(6)), LABELS[:6]),
            "x_train: expected no missing values, got some in f0",
        ),
    ],
)
def test_what_will_not_do_is_one_line(data, told):
    assert told in refused(data)


def test_an_iterable_without_an_end_stops_before_the_memory_does(monkeypatch):
    monkeypatch.setattr(arrays, "machine_memory", lambda: 1e6)
    endless = ((np.zeros((50, 50)), i % 2) for i in itertools.count())
    assert "train: expected a finite iterable that fits into memory" in refused((endless, []))


def test_a_subset_that_would_lose_a_small_class_is_refused():
    labels = np.r_[np.arange(400) % 2, np.full(3, 2)]
    data = Dataset.of((table(403), labels, table(6), LABELS[:6]))
    with pytest.raises(
        DataError, match=r"at least two images .* leaves [01] of the 3 images of class 2"
    ):
        data.subset(80, seed=0)
    assert data.subset(400, seed=0).counts.tolist()[2] >= 2


TABLE = pd.DataFrame(
    {
        "income": np.exp(np.arange(40) / 8),
        "age": np.arange(40) % 17 + 20,
        "kind": np.where(np.arange(40) % 4 == 0, "rare", "usual"),
    }
)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_file_with_a_table_is_split_by_class_and_keeps_its_columns(tmp_path, ending):
    path = tmp_path / f"own.{ending}"
    getattr(TABLE, f"to_{ending}")(path, index=False)
    data = datasets.load(str(path), table=Table("kind", 0.2))
    assert (data.name, data.columns, data.labels) == ("own", ("income", "age"), ("rare", "usual"))
    assert (data.counts.tolist(), data.test_counts.tolist()) == ([8, 24], [2, 6])
    rows = np.concatenate([data.x_train, data.x_test])
    np.testing.assert_allclose(rows[np.argsort(rows[:, 0])], TABLE[["income", "age"]].to_numpy())
    assert datasets.load(str(path), table=Table("kind")).digest == data.digest


def loaded(folder, frame: pd.DataFrame, target: str, task: str | None = None) -> Dataset:
    frame.to_csv(folder / "own.csv", index=False)
    return datasets.load(str(folder / "own.csv"), table=Table(target), task=task)


def test_in_a_column_of_text_none_and_na_are_classes(tmp_path):
    data = loaded(tmp_path, changed(kind=[*("None", "NA", "mild", "severe") * 10]), "kind")
    assert data.labels == ("NA", "None", "mild", "severe")


def test_classes_that_are_whole_floats_are_split_by_class_too(tmp_path):
    rare = np.arange(40) % 8 == 0
    data = loaded(tmp_path, changed(kind=rare * 1.0), "kind", "classification")
    assert (data.counts.tolist(), data.test_counts.tolist()) == ([28, 4], [7, 1])
    # The rows of a regression stay those that were drawn without classes.
    numbers = Table("kind", numbers=True)
    drawn = datasets.load(str(tmp_path / "own.csv"), table=numbers, task="regression")
    assert drawn.y_test.sum() == 0


def changed(**columns) -> pd.DataFrame:
    return TABLE.assign(**columns)


@pytest.mark.parametrize(
    ("frame", "target", "told"),
    [
        (TABLE, "kin", 'data.target_column: unknown column "kin" (did you mean "kind"?)'),
        (
            changed(town="Ulm"),
            "kind",
            "expected numeric columns, got town; make a column of 0 and 1",
        ),
        (changed(age=TABLE.age.where(TABLE.age > 21)), "kind", "got some in age (6); fill them"),
        (
            changed(kind=TABLE.kind.where(TABLE.age > 21)),
            "kind",
            "column kind: expected no missing",
        ),
        (
            changed(kind=["NA", "-", "3", ""] * 10),
            "kind",
            "column kind: expected no missing values in the target, got 10; drop",
        ),
        (
            changed(kind=["NA", "1", "3", ""] * 10),
            "kind",
            'column kind: expected no missing values in the target, got 20 ("NA"); drop these rows',
        ),
        (
            TABLE.rename(columns={"income": ""}),
            "kind",
            "expected a name for each column, got none for column 1; if it is pandas' index",
        ),
    ],
)
def test_what_in_a_table_will_not_do_is_named_with_its_column(tmp_path, frame, target, told):
    path = tmp_path / "own.csv"
    frame.to_csv(path, index=False)
    with pytest.raises(DataError) as caught:
        datasets.load(str(path), table=Table(target))
    (line,) = caught.value.lines
    assert told in line


def test_a_file_that_is_no_table_is_named(tmp_path):
    (tmp_path / "own.parquet").write_bytes(b"no table")
    with pytest.raises(DataError, match=r"own\.parquet: expected Parquet; it cannot be read"):
        datasets.load(str(tmp_path / "own.parquet"), table=Table("kind"))


def numbers(*shape: int) -> Dataset:
    x = np.arange(np.prod((12, *shape))).reshape(12, *shape)
    return Dataset.of((x, LABELS, x[:6], LABELS[:6]))


@pytest.mark.parametrize(
    ("kind", "shape", "seen"),
    [
        (None, (4, 5), (4, 5, 1)),
        ("image", (4, 5), (4, 5, 1)),
        ("table", (4,), (4,)),
        ("signal", (4,), (4, 1)),
        ("sequence", (4, 5), (4, 5)),
        ("tokens", (4,), (4,)),
    ],
)
def test_inputs_are_what_the_sweep_says(tmp_path, kind, shape, seen):
    data = numbers(*shape).seen_as(kind, full_scale=None)
    again = Dataset.open(tmp_path, data.save(tmp_path))
    assert (again.input_shape, again.sample_shape) == (seen, shape)
    assert again.facts.tokens is (kind == "tokens")
    called = {(4,): "row", (4, 1): "sequence", (4, 5): "sequence"}
    assert again.sample == ("sequence" if kind == "tokens" else called.get(seen, "image"))
    assert np.array_equal(again.x_train.ravel(), np.arange(12 * np.prod(shape)))


@pytest.mark.parametrize(
    ("kind", "shape"), [("signal", (4, 5)), ("sequence", (4,)), ("table", (4, 5, 3))]
)
def test_inputs_of_another_shape_than_the_sweep_says_are_refused(kind, shape):
    with pytest.raises(DataError, match=f"data.kind: {kind} needs .*, got int64 of shape"):
        numbers(*shape).seen_as(kind, full_scale=None)


def test_tokens_are_integers():
    data = Dataset.of((table(), LABELS, table(6), LABELS[:6]))
    with pytest.raises(
        DataError, match=r"data.kind: tokens needs integers \(n, time\), got float64"
    ):
        data.seen_as("tokens", full_scale=None)


def test_full_scale_and_names_are_part_of_the_data_only_where_they_matter():
    x, y = frame(table()), LABELS
    data = Dataset.of((x, y, x, y))
    assert data.seen_as(None, None).digest == data.digest
    digests = {
        data.digest,
        data.seen_as(None, 4095.0).digest,
        data.seen_as(None, None, by_column=True).digest,
    }
    assert len(digests) == 3
