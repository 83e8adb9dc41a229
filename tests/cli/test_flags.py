from pathlib import Path

import pytest

from upbring.cli.flags import ParsedFlags, command_flags, parse_flags
from upbring.errors import InputError
from upbring.settings.command_table import COMMANDS, commands
from upbring.settings.methods.sft import SftSettings
from upbring.settings.resolve import resolve


def call(line: str) -> ParsedFlags:
    command, *words = line.split()
    found = parse_flags(commands()[command], words)
    assert found is not None
    return found


def wrong(line: str) -> str:
    with pytest.raises(InputError) as caught:
        call(line)
    return str(caught.value)


def test_only_the_flags_that_are_given_are_passed_on() -> None:
    assert call("sft") == ParsedFlags({}, None)
    assert call("sft --learning-rate 1e-4 --settings r.yaml --debug") == ParsedFlags(
        {"learning_rate": "1e-4"}, Path("r.yaml")
    )


def test_dashes_and_underscores_are_the_same_in_a_flag_but_not_in_a_value() -> None:
    assert call("sft --learning_rate=1 --no_dora --name a_b").flags == {
        "learning_rate": "1",
        "dora": False,
        "name": "a_b",
    }


def test_words_fill_the_verb_s_main_setting_and_many_flags_repeat() -> None:
    assert call("check a b --data c").flags == {"data": ["a", "b", "c"]}
    assert call("sft --data a --data b").flags == {"data": ["a", "b"]}
    assert call("export runs/a --to b").flags == {"run": "runs/a", "to": "b"}
    assert call("resume").flags == {}
    assert call("resume runs/a").flags == {"run": "runs/a"}
    assert call("chat runs/a").flags == {"model": "runs/a"}


def test_a_switch_has_two_flags() -> None:
    assert call("sft --dora").flags == {"dora": True}
    assert call("sft --no-dora").flags == {"dora": False}
    assert wrong("sft --dora --no-dora").endswith("both --dora and --no-dora given; give one")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "sft --learning-rat 1",
            "upbring sft: no such flag --learning-rat; did you mean --learning-rate?",
        ),
        (
            "sft --learning_rat=1",
            "upbring sft: no such flag --learning-rat; did you mean --learning-rate?",
        ),
        ("runs --zzzzzz", "upbring runs: no such flag --zzzzzz; see `upbring runs --help`"),
        ("chat a --model b", "upbring chat: both a and --model given; give one"),
        ("sft --rank", "upbring sft: --rank: requires an argument; see `upbring sft --help`"),
        ("sft --dora=1", "upbring sft: --dora: does not take a value; see `upbring sft --help`"),
    ],
)
def test_a_wrong_line_is_one_message(line: str, expected: str) -> None:
    assert wrong(line) == expected


def test_a_word_too_many_is_named() -> None:
    assert "(extra)" in wrong("runs extra")


def test_every_flag_of_every_verb_is_taken() -> None:
    for command in COMMANDS:
        for flag, setting in command_flags(command).items():
            if flag == "--help":
                continue
            has_value = flag == "--settings" or (setting and setting.value_type != "switch")
            assert call(f"{command.name} {flag}{' 1' if has_value else ''}")


def test_help_tells_range_choices_and_default(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert parse_flags(commands()["sft"], ["--help"]) is None
    page = capsys.readouterr().out
    for text in (
        "(above 0; default: 0.0002)",
        "(from 0 to 1; default: 0.1)",
        "(lora or full; default: lora)",
        "(--no-dora; default: false)",
        "(repeatable; required)",
        "─ Training ─",
        "─ Supervised fine-tuning ─",
        "Example: upbring sft chat.jsonl",
    ):
        assert text in page


def test_what_a_line_gives_resolves_to_settings() -> None:
    flags = call("sft a.jsonl --model m --learning-rate 1e-5 --mix b=0.5 --dora").flags
    settings = resolve(SftSettings, section="sft", flags=flags).settings
    assert settings.data == (Path("a.jsonl"),)
    assert (settings.learning_rate, settings.mix, settings.dora) == (1e-5, ("b=0.5",), True)
