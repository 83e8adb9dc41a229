import signal
from types import SimpleNamespace
from typing import Any

import pytest

from upbring.errors import Interrupted
from upbring.interruption import Interruption
from upbring.stages.context import StageContext


def test_a_stage_context_exits_when_a_stop_is_requested() -> None:
    nothing: Any = SimpleNamespace()
    with Interruption(log=lambda _: None) as interruption:
        context = StageContext(*[nothing] * 6, interruption, print, nothing)
        context.poll()
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Interrupted):
            context.poll()
