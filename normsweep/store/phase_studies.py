"""`PhaseStudies`: the studies of Optuna that make up a study, one for each phase.

`mnist` has the search, so that Optuna's best trial, importances and plots are those of the search;
`mnist/select` and `mnist/confirm` have the later phases, and `mnist/search-2`, `mnist/select-2`, … the repeats
of the whole tuning. The first one also has the attributes of the
whole study: it is the one that is listed, locked and deleted. Older studies have all phases in it.
"""

from __future__ import annotations

from collections.abc import Iterator

import optuna

from normsweep.store.encoding import APART, ID, PHASE
from normsweep.store.optuna_tables import StudyTables, keys_after, names_with, patiently
from normsweep.sweep.trial import CONFIRM, SEARCH, SELECT, kind_of, repeat_of

__all__ = ["PhaseStudies", "delete_phases", "orphaned_phases"]


class PhaseStudies:
    """Optuna's studies of a study. Those of the later phases are found by the study's id in an attribute."""

    def __init__(self, storage: optuna.storages.RDBStorage, name: str) -> None:
        """`name`: an existing study."""
        self.search = StudyTables(storage, name)
        self._storage = storage
        attrs = self.search.attrs([ID.key, APART.key])
        self._id, self.apart = ID.of(attrs), APART.of(attrs)
        """`apart`: whether each phase has a study of its own."""
        self._later = dict(self._stored()) if self.apart else {}

    def __iter__(self) -> Iterator[StudyTables]:
        """The studies that there are, that of the search first."""
        return iter(self.begun.values())

    @property
    def begun(self) -> dict[str, StudyTables]:
        """The studies that there are by phase; that of the search has all phases of an older study."""
        return {SEARCH: self.search, **self._later}

    def of(self, phase: str) -> StudyTables:
        """The study of a phase, created if there is none."""
        if phase == SEARCH or not self.apart:
            return self.search
        if phase not in self._later:
            self._later[phase] = self._made(phase)
        return self._later[phase]

    def _stored(self) -> Iterator[tuple[str, StudyTables]]:
        found = names_with(self._storage, self._key).items()
        own = [(name, phase) for name, phase in found if name in self._names(phase)]
        if len(own) < len(found) and self._has_copies:
            found = own
        names = {phase: name for name, phase in found}
        for phase in sorted(names, key=_place):
            yield phase, StudyTables(self._storage, names[phase])

    @property
    def _has_copies(self) -> bool:
        """Whether other studies have its id, as copies of `optuna.copy_study` do; each has the phases named after it."""
        ids = names_with(self._storage, ID.key)
        return any(key == self._id for name, key in ids.items() if name != self.search.name)

    def _names(self, phase: str) -> tuple[str, str]:
        """Of a phase's study; the second one if the first is somebody else's: nobody else has the id."""
        name = f"{self.search.name}/{phase}"
        return name, f"{name} {self._id[:8]}"

    @property
    def _key(self) -> str:
        return f"{PHASE}{self._id}"

    def _made(self, phase: str) -> StudyTables:
        """A study for a phase. A process that is killed before the attribute is written leaves it empty."""
        opened = map(self._open, self._names(phase))
        tables = next(tables for tables in opened if tables is not None)
        tables.set_attr_of_study(self._key, phase)
        return tables

    def _open(self, name: str) -> StudyTables | None:
        """The empty study of a name, created if there is none; None if it is somebody else's."""
        like = optuna.load_study(study_name=self.search.name, storage=self._storage)
        made = patiently(
            lambda: optuna.create_study(
                storage=self._storage,
                study_name=name,
                directions=like.directions,
                load_if_exists=True,
            )
        )
        tables = StudyTables(self._storage, name)
        if len(tables) or made.user_attrs or made.directions != like.directions:
            return None
        if like.metric_names:
            made.set_metric_names(like.metric_names)
        return tables


def _place(phase: str) -> tuple[int, int]:
    """Repeat and place of a phase in the order of a study."""
    return repeat_of(phase), (SEARCH, SELECT, CONFIRM).index(kind_of(phase))


def delete_phases(storage: optuna.storages.RDBStorage, name: str) -> None:
    """Delete the studies of a study, that of the search last, so that an interrupted deletion can be repeated."""
    for tables in reversed(list(PhaseStudies(storage, name))):
        optuna.delete_study(study_name=tables.name, storage=storage)


def orphaned_phases(storage: optuna.storages.RDBStorage) -> list[str]:
    """The names of studies of phases whose study was deleted with Optuna's own tools."""
    known = {key for key in names_with(storage, ID.key).values() if isinstance(key, str)}
    return sorted(name for name, key in keys_after(storage, PHASE).items() if key not in known)
