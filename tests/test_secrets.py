import pytest

from normsweep.errors import StoreError, StudyStopped
from normsweep.text import masked, reason, without_secrets
from normsweep.urls import check_address, storage_option, tracking_address

SECRET = "S3cret"

ADDRESSES = [
    ("postgresql+psycopg://me:S3cret@host/db", "postgresql+psycopg://me:***@host/db"),
    ("postgresql://:S3cret@host/db", "postgresql://:***@host/db"),
    ("postgresql://me:S3cr@S3cret@host/db", "postgresql://me:***@host/db"),
    ("postgresql://me:S3cret:S3cret@host/db", "postgresql://me:***@host/db"),
    ("postgresql://me:/S3cret@host/db", "postgresql://me:***@host/db"),
    ("postgresql://me:S3cret%40@host/db", "postgresql://me:***@host/db"),
    ("postgresql://me:S3cret#S3cret@host/db", "postgresql://me:***@host/db"),
    ("postgresql://me:?S3cret@host/db", "postgresql://me:***@host/db"),
    ("postgresql://me:my S3cret@host/db", "postgresql://me:***@host/db"),
    ("postgresql://me@corp:S3cret@host/db", "postgresql://me@corp:***@host/db"),
    ("postgresql://me:S3cret@[::1]:5432/db", "postgresql://me:***@[::1]:5432/db"),
    ("postgresql://host/db?user=me&password=S3cret", "postgresql://host/db?user=me&password=***"),
    ("postgresql://h/db?sslpassword=S3cret&a=b", "postgresql://h/db?sslpassword=***&a=b"),
    ("postgresql://h/db?passwort=S3cret", "postgresql://h/db?passwort=***"),
    ("postgresql://h/db?sslkey=S3cret", "postgresql://h/db?sslkey=***"),
    ("mssql+pyodbc:///?odbc_connect=PWD%3DS3cret", "mssql+pyodbc:///?odbc_connect=***"),
    ("host=h password='my S3cret' dbname=db", "host=h password=*** dbname=db"),
    ("HTTPS://me:S3cret@host", "HTTPS://me:***@host"),
    ("https://S3cret@host/path", "https://***@host/path"),
    ("https://S3cret@[::1]:5000", "https://***@[::1]:5000"),
    ("https://host/?access_token=S3cret&x=1", "https://host/?access_token=***&x=1"),
    ("https://host/?a=1&sig=S3cret", "https://host/?a=1&sig=***"),
    ("--storage=postgresql://me:S3cret@host/db", "--storage=postgresql://me:***@host/db"),
    ("Unused Tokens: ['a://me:S3cret@h'].", "Unused Tokens: ['a://me:***@h']."),
]


@pytest.mark.parametrize(("text", "shown"), ADDRESSES, ids=[text for text, _ in ADDRESSES])
def test_a_password_is_masked_however_it_is_written(text, shown):
    assert masked(text) == shown
    assert masked(shown) == shown
    assert SECRET not in masked(f"{text} and {text}\n{text}")


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:///mlruns/optuna.db",
        "postgresql+psycopg://me@host/db",
        "postgresql://me@127.0.0.1:9/db: connection refused for me@db",
        "http://127.0.0.1:5000: HTTPConnectionPool(host='127.0.0.1'), ask me@host",
        "http://[::1]:5000/#/experiments",
        "sorted(rows, key=lambda row: row.trial)",
        "must be a database URL, such as postgresql+psycopg://user@host/database",
    ],
)
def test_what_holds_no_password_stays_as_it_is(text):
    assert masked(text) == text


def test_a_password_does_not_stand_alone_in_what_is_said_of_its_address():
    said = "cannot log in: me S3cret/%@, S3cret%2F%25%40; sorry"
    address = "databricks://me:S3cret%2F%25%40@host"
    assert masked(said, address) == "cannot log in: me ***, ***; sorry"
    assert masked("abc", "http://me:a@host", "nonsense") == "abc"


def test_no_error_of_ours_says_a_password():
    address = "postgresql://me:S3cret@host/db"
    for error in (StoreError(address), StoreError([address, address]), StudyStopped(address)):
        assert SECRET not in str(error) + repr(error)


def test_a_printed_command_names_the_variable_in_place_of_a_password():
    address = "postgresql://me:S3cret@host/db"
    assert storage_option("sqlite:///mlruns/optuna.db") == ""
    assert storage_option("postgresql://me@host/db") == " --storage postgresql://me@host/db"
    assert storage_option("sqlite:///my runs.db") == " --storage 'sqlite:///my runs.db'"
    assert storage_option(address) == ' --storage "$OPTUNA_STORAGE"'
    assert tracking_address(address) == '"$MLFLOW_TRACKING_URI"'


@pytest.mark.parametrize(
    "address",
    [
        "postgresql+psycopg://me:S3c@ret@host/db",
        "postgresql+psycopg://me:@S3cret@host/db",
        "http://me:12/S3cret@host",
        "http://me:12#S3cret@host",
        "https://me:S3c@ret?@host",
    ],
)
def test_a_password_of_which_a_part_would_be_the_host_is_refused(address):
    with pytest.raises(StoreError) as caught:
        check_address("--storage", address)
    (line,) = caught.value.lines
    assert line.startswith("--storage: the password in ")
    assert "%40 for an @" in line
    assert not any(part in line for part in ("S3c", "ret@", "12"))


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:S3c%40ret@host/db?options=a@b",
        "postgresql://me@corp:S3cret@host/db",
        "postgresql://me@corp@host/db",
        "postgresql://me:a/b#c?d:e@host/db",
        "sqlite:////home/a@b/c@d.db",
        "http://me:S3cret@host:5000/path",
        "http://host:5000",
        "databricks://profile",
        "mlruns",
        "./a@b:c",
        "nonsense",
    ],
)
def test_other_addresses_are_let_through(address):
    check_address("--storage", address)


def test_a_password_without_a_scheme_before_it_is_not_repeated():
    with pytest.raises(StoreError) as caught:
        check_address("--storage", "me:S3cret@host/db")
    assert str(caught.value).startswith(
        "--storage: must begin with a scheme, such as postgresql+psycopg:// or http://, got ***@host/db"
    )


SECRETS = {
    "PGPASSWORD": "x", "PGPASSFILE": "x", "OPTUNA_STORAGE": "x", "MLFLOW_TRACKING_URI": "x",
    "MLFLOW_TRACKING_PASSWORD": "x", "MLFLOW_TRACKING_TOKEN": "x", "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "x", "AWS_SESSION_TOKEN": "x", "AZURE_STORAGE_CONNECTION_STRING": "x",
    "GOOGLE_APPLICATION_CREDENTIALS": "x", "DATABRICKS_TOKEN": "x", "HF_TOKEN": "x",
    "GITHUB_TOKEN": "x", "OPENAI_API_KEY": "x", "WANDB_API_KEY": "x", "MYSQL_PWD": "x",
    "my_password": "x", "DB_PASS": "x", "SENTRY_DSN": "x", "SSH_AUTH_SOCK": "x",
    "HTTPS_PROXY": "http://me:S3cret@proxy:8080", "DATABASE_URL": "postgresql://me:S3cret@host/db",
}  # fmt: skip
KEPT = {
    "PATH": "/bin", "PWD": "/work", "OLDPWD": "/", "HOME": "/home/me", "LD_LIBRARY_PATH": "/lib",
    "PYTHONPATH": "/work", "CUDA_VISIBLE_DEVICES": "0", "XLA_FLAGS": "--xla_dump_to=/tmp",
    "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "jax", "KERAS_HOME": "/keras", "NCCL_DEBUG": "1",
    "OMP_NUM_THREADS": "2", "TOKENIZERS_PARALLELISM": "false", "MLFLOW_DISABLE_TELEMETRY": "true",
    "HTTP_PROXY": "http://proxy:8080", "NORMSWEEP_DATA": "/data", "KEYBOARD": "us",
}  # fmt: skip


def test_a_worker_is_given_what_a_backend_reads_and_no_secret():
    assert without_secrets({**SECRETS, **KEPT}) == KEPT


@pytest.mark.parametrize(
    ("error", "options", "said"),
    [
        (KeyError(3), {"kind": True}, "KeyError: 3"),
        (TimeoutError(), {"kind": True}, "TimeoutError"),
        (TimeoutError(), {}, "TimeoutError"),
        (OSError("no\n  room"), {}, "no room"),
        ("", {}, ""),
        ("it said\tno", {}, "it said no"),
        (OSError("x" * 400), {"most": 10}, "x" * 10),
        (OSError("http://me:S3cret@host refused"), {"most": 20}, "http://me:***@host r"),
    ],
    ids=["kind", "silent-kind", "silent", "lines", "nothing", "text", "long", "password"],
)
def test_the_reason_of_an_error_is_one_line_without_passwords(error, options, said):
    assert reason(error, **options) == said
