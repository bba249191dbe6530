import pytest
from sqlalchemy import create_engine, text

from normsweep.errors import StoreError
from normsweep.store.storage import begun_study, load_study, open_study
from normsweep.sweep.loading import load_sweep

pytestmark = pytest.mark.system


@pytest.fixture
def fresh(postgresql_url):
    """A database in which nothing is yet."""
    engine = create_engine(postgresql_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("DROP DATABASE IF EXISTS fresh"))
        connection.execute(text("CREATE DATABASE fresh"))
    engine.dispose()
    return postgresql_url.replace("/normsweep?", "/fresh?")


def test_a_server_with_nothing_in_it_is_told_and_taken(fresh, sweep_file, parts):
    with pytest.raises(StoreError, match="where there is no database; legal: the storage of a st"):
        load_study(fresh, "base")
    assert begun_study(fresh, "base") is None
    study = open_study(fresh, "base", load_sweep(sweep_file, parts))
    assert study.name == "base"
