"""Which trial comes next, in the search and in the confirmation."""
