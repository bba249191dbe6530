"""`python -m normsweep`: the `normsweep` command."""

from normsweep.cli.main import main

if __name__ == "__main__":
    main()
