"""The `normsweep` command and its parts."""
