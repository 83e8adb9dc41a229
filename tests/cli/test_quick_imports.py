import gc
import subprocess
import sys
from importlib.util import find_spec

import pytest

from upbring.cli.quick_imports import pause_collection, resume_collection


def test_what_was_imported_is_never_read_again() -> None:
    assert gc.isenabled()
    count = gc.get_freeze_count()
    resume_collection()
    assert gc.get_freeze_count() == count  # nobody paused it: a library leaves it as it is
    try:
        pause_collection()
        assert not gc.isenabled()
        resume_collection()
        assert gc.isenabled()
        assert gc.get_freeze_count() > count
    finally:
        gc.enable()
        gc.unfreeze()
        gc.freeze()


def test_a_command_collects_while_it_runs_and_froze_its_imports() -> None:
    text = """
import gc, sys
from upbring import __main__, durable
import upbring.cli.doctor

def run(resolved):
    print(gc.isenabled(), gc.get_freeze_count() > 10_000)

upbring.cli.doctor.run = run
sys.argv[1:] = ["doctor"]
__main__.main()
"""
    words = [sys.executable, "-c", text]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "True True\n"


LOAD = """
import sys
from upbring import __main__
import upbring.cli.doctor

def run(resolved):
    import upbring.model.load
    names = ("peft", "bitsandbytes", "torch._inductor.lowering")
    found = [name in sys.modules for name in names]
    from upbring.model.load_quantized import import_bitsandbytes
    print(*found, import_bitsandbytes("nf4").__name__)

upbring.cli.doctor.run = run
sys.argv[1:] = ["doctor"]
__main__.main()
"""


@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="needs bitsandbytes")
def test_a_command_imports_bitsandbytes_only_where_it_is_needed() -> None:
    found = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=True)
    assert found.stdout == "True False False bitsandbytes\n"
