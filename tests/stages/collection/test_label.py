import json
from pathlib import Path

import pytest

from upbring.errors import InputError
from upbring.settings.commands.label import LabelSettings
from upbring.stages.collection.label import (
    check_label_settings,
    describe_address,
    label_server,
    summary,
    wait_until_answering,
)
from upbring.web.guard import WebAddress

ROW = {"prompt": "q", "responses": ["a", "b"], "models": ["model-a", "model-b"]}


def responses(folder: Path) -> Path:
    path = folder / "answers.jsonl"
    path.write_text(json.dumps(ROW) + "\n")
    return path


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"do": ("p.jsonl",)}, "--models: name the models"),
        ({"models": ("m",)}, "label: --models need prompts"),
        (
            {"do": ("p",), "models": ("m",), "responses": Path("a")},
            "--responses: has the responses",
        ),
        ({"do": ("none.jsonl",), "models": ("m",)}, "none.jsonl: there is no such file"),
    ],
)
def test_settings_that_do_not_fit_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_label_settings(LabelSettings.model_validate(given))


def test_nothing_to_rank_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="there is nothing to rank; pass a file of prompts"),
        label_server(LabelSettings(to=tmp_path / "labels"), log=lambda _: None),
    ):
        pass


def test_the_store_continues_without_the_file_of_responses(tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    first = LabelSettings(responses=responses(tmp_path), to=folder)
    for settings in (first, LabelSettings(to=folder), first):
        with label_server(settings, log=lambda _: None) as server:
            wait_until_answering(server)
            assert summary(server.store) == (
                f"{folder / 'votes.db'}: 0 votes by 0 annotators on 0 of 1 item"
            )


def test_two_servers_on_one_store_are_refused(tmp_path: Path) -> None:
    settings = LabelSettings(responses=responses(tmp_path), to=tmp_path / "labels")
    with (
        label_server(settings, log=lambda _: None),
        pytest.raises(InputError, match="is using this folder"),
        label_server(settings, log=lambda _: None),
    ):
        pass


def test_other_hosts_come_with_a_warning() -> None:
    address = WebAddress(80, "t", ("box.lan",))
    assert "WARNING" not in describe_address(address, LabelSettings())
    text = describe_address(address, LabelSettings(host="box.lan"))
    assert "http://box.lan:80/?token=t" in text
    assert "WARNING: other computers reach this page, without encryption" in text
