import csv

import pytest
import torch

from upbring.api.calls import reads_files, runs_models
from upbring.errors import InputError


def fail(threads: int) -> None:
    torch.set_num_threads(threads)
    csv.field_size_limit(17)
    raise InputError("--max-length: is too small; see `upbring sft --help`")


@pytest.mark.parametrize("around", [runs_models, reads_files])
def test_an_error_names_arguments_and_shows_no_cause(around: object) -> None:
    threads, limit = torch.get_num_threads(), csv.field_size_limit()
    with pytest.raises(InputError, match=r"^max_length: is too small") as caught:
        (runs_models if around is runs_models else reads_files)(fail)(threads)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert (torch.get_num_threads(), csv.field_size_limit()) == (threads, limit)


def test_a_bug_keeps_its_traceback() -> None:
    @runs_models
    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        broken()
    assert caught.traceback[-1].name == "broken"


def test_threads_are_restored() -> None:
    threads = torch.get_num_threads()
    runs_models(torch.set_num_threads)(threads + 1)
    assert torch.get_num_threads() == threads
