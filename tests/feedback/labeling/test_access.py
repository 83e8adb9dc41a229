from pathlib import Path

import pytest

from tests.votes.stored import store_of
from upbring.errors import InputError
from upbring.feedback.labeling.access import Access
from upbring.votes.records import Lease
from upbring.web.guard import OWNER


def test_a_token_names_its_annotator_also_after_a_restart(tmp_path: Path) -> None:
    with store_of(tmp_path, 0) as store:
        ann = store.add_annotator("Ann")
        token = Access(store, owner_name="me").token_of(ann)
    with store_of(tmp_path, 0) as store:
        access = Access(store, owner_name="me")
        identity = access.identify(token)
        assert identity is not None
        assert access.annotator_of(identity) == ann
        assert access.annotator_of(OWNER).name == "me"


@pytest.mark.parametrize("change", ["", "1.", "2.{mac}", "{token}x", "01.{mac}", "é.{mac}", "²"])
def test_other_tokens_are_nobody(tmp_path: Path, change: str) -> None:
    with store_of(tmp_path, 0) as store:
        access = Access(store, owner_name="me")
        token = access.token_of(access.owner)
        text = change.format(token=token, mac=token.partition(".")[2])
        assert access.identify(text) is None or text == token


def test_tokens_of_another_store_are_nobody(tmp_path: Path) -> None:
    tokens = []
    for name in ("a", "b"):
        with store_of(tmp_path / name, 0) as store:
            access = Access(store, owner_name="me")
            tokens.append(access.token_of(access.owner))
            assert access.identify(tokens[0]) == ("annotator:1" if name == "a" else None)


def test_a_repeat_has_another_ticket(tmp_path: Path) -> None:
    with store_of(tmp_path, 0) as store:
        access = Access(store, owner_name="me")
        tickets = {
            access.ticket_of(Lease(1, 1, is_repeat, is_adjudication, (), 0.0))
            for is_repeat in (False, True)
            for is_adjudication in (False, True)
        }
        assert len(tickets) == 4
        with pytest.raises(InputError, match="annotator 7: is not in this store"):
            access.annotator(7)
