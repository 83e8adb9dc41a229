import signal
from types import SimpleNamespace
from typing import Any

import pytest

from upbring.errors import Interrupted
from upbring.interruption import Interruption
from upbring.stages.context import StageContext


def test_a_cast_leaves_when_somebody_asks_to_stop() -> None:
    nothing: Any = SimpleNamespace()
    with Interruption(log=lambda _: None) as interruption:
        cast = StageContext(*[nothing] * 6, interruption, print, nothing)
        cast.poll()
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Interrupted):
            cast.poll()
