"""What becomes of a call, in a worker and inline alike."""

from __future__ import annotations

import traceback

from normsweep.errors import StudyStopped, UserError
from normsweep.execution.messages import Call, Raised, Returned
from normsweep.training import Engine

__all__ = ["answer"]


def answer(engine: Engine, call: Call) -> Returned | Raised:
    """What the called function returned, or raised: a mistake of the user's, or an accident."""
    try:
        return Returned(call.function(engine, *call.args, **call.kwargs))
    except UserError as error:
        return Raised(error)
    except Exception as error:
        return Raised(StudyStopped("".join(traceback.format_exception(error)[-4:])))
