"""Statistical analysis of a study: pure functions of its `StudyRecord`."""
