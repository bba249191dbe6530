"""The `normsweep` command and its subcommands."""
