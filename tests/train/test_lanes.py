import threading
import time

import pytest
import torch

from upbring.train.lanes import map_in_lanes


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_what_comes_back_has_the_order_of_what_was_given(lanes: int) -> None:
    def work(item: int) -> int:
        time.sleep(0.02 * (item == 0))  # the first is the last to be ready
        return item * item

    assert list(map_in_lanes(work, range(7), lanes)) == [n * n for n in range(7)]


def test_as_many_are_at_work_at_the_same_time_as_there_are_lanes() -> None:
    meeting = threading.Barrier(3, timeout=20)  # nobody passes alone
    threads = list(map_in_lanes(lambda _: (meeting.wait(), threading.get_ident()), range(6), 3))
    assert len({ident for _, ident in threads[:3]}) == 3


def test_lanes_share_the_cores_and_give_them_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(5)
    try:
        inside = list(map_in_lanes(lambda _: torch.get_num_threads(), range(2), 2))
        assert inside == [2, 2]
        assert torch.get_num_threads() == 5
        assert list(map_in_lanes(lambda _: torch.get_num_threads(), [0], 2)) == [5]  # one alone
    finally:
        torch.set_num_threads(before)


def test_what_goes_wrong_in_a_lane_is_heard_and_the_cores_are_given_back() -> None:
    before = torch.get_num_threads()

    def work(item: int) -> int:
        if item == 1:
            raise ValueError("lane 1")
        return item

    with pytest.raises(ValueError, match="lane 1"):
        list(map_in_lanes(work, range(2), 2))
    assert torch.get_num_threads() == before


def test_waves_of_any_size_are_computed_by_the_same_threads() -> None:
    def threads(count: int) -> set[int]:
        meeting = threading.Barrier(count, timeout=20)
        work = map_in_lanes(lambda _: (meeting.wait(), threading.get_ident()), range(count), count)
        return {ident for _, ident in work}

    most = threads(4)
    assert len(most) == 4
    for count in (2, 3, 2):
        assert len(threads(count)) == count
    lanes = [each for each in threading.enumerate() if each.name.startswith("lane")]
    assert most <= {each.ident for each in lanes}  # none was let go
