"""normsweep: does un-normalized input catch up, with more epochs or a tuned learning rate?"""

__all__ = ["version"]


def version() -> str:
    """The installed version."""
    from importlib.metadata import version as installed

    return installed("normsweep")
