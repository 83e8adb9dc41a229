from pathlib import Path

import pytest

from upbring.cli.command_table import commands
from upbring.cli.flags import ParsedFlags, SettingsCommand, parse_flags
from upbring.errors import InputError
from upbring.settings.methods.sft import SftSettings
from upbring.settings.resolve import resolve


def parse(line: str) -> ParsedFlags:
    command, *words = line.split()
    parsed = parse_flags(commands()[command], words)
    assert parsed is not None
    return parsed


def problem(line: str) -> str:
    with pytest.raises(InputError) as caught:
        parse(line)
    return str(caught.value)


def test_only_the_flags_that_are_given_are_passed_on() -> None:
    assert parse("sft") == ParsedFlags({}, None)
    assert parse("sft --learning-rate 1e-4 --settings r.yaml --debug") == ParsedFlags(
        {"learning_rate": "1e-4"}, Path("r.yaml")
    )


def test_dashes_and_underscores_are_the_same_in_a_flag_but_not_in_a_value() -> None:
    assert parse("sft --learning_rate=1 --no_dora --name a_b").flags == {
        "learning_rate": "1",
        "dora": False,
        "name": "a_b",
    }


def test_positional_arguments_fill_the_main_setting_and_list_flags_repeat() -> None:
    assert parse("check a b --data c").flags == {"data": ("a", "b", "c")}
    assert parse("sft --data a --data b").flags == {"data": ("a", "b")}
    assert parse("export runs/a --to b").flags == {"run": "runs/a", "to": "b"}
    assert parse("resume").flags == {}
    assert parse("resume runs/a").flags == {"run": "runs/a"}
    assert parse("chat runs/a").flags == {"model": "runs/a"}
    assert parse("plan sft a --rank 3").flags == {"do": ("sft", "a", "--rank", "3")}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("sft --dora", True),
        ("sft --dora true", True),
        ("sft --dora=True", True),
        ("sft --no-dora", False),
        ("sft --dora false", False),
        ("sft --dora=false", False),
    ],
)
def test_a_switch_may_have_a_value_as_in_transformers(line: str, value: object) -> None:
    assert parse(line).flags == {"dora": value}


def test_an_alias_is_passed_on_under_its_name() -> None:
    flags = parse("sft d.jsonl --lr 1e-5 --bf16 --use_peft false --train-file e.jsonl").flags
    assert flags == {
        "data": ("d.jsonl",),
        "lr": "1e-5",
        "bf16": True,
        "use_peft": False,
        "train_file": ("e.jsonl",),
    }


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
        (
            "sft --warmup-proportion 0.1",
            "upbring sft: no such flag --warmup-proportion; did you mean --warmup?",
        ),
        ("sft --max-shard-size 3", "upbring sft: no such flag --max-shard-size; see `upbring sft"),
        ("runs --zzzzzz", "upbring runs: no such flag --zzzzzz; see `upbring runs --help`"),
        ("sft --fsdp full_shard", "upbring sft: --fsdp: DeepSpeed and FSDP are not available;"),
        ("chat a --model b", "upbring chat: both a and --model given; give one"),
        ("sft --rank", "upbring sft: --rank requires an argument; see `upbring sft --help`"),
        ("sft --dora=1", "upbring sft: --dora does not take a value; see `upbring sft --help`"),
        ("doctor extra", "upbring doctor: got unexpected extra argument (extra); see `upbring d"),
        ("sft -lr 1", "upbring sft: no such flag -lr; did you mean --lr?"),
        ("sft -o out/a", "upbring sft: no such flag -o; did you mean --output-dir?"),
        ("export -o out", "upbring export: no such flag -o; did you mean --output-dir?"),
        ("sft -m base", "upbring sft: no such flag -m; did you mean --model?"),
        ("sft -c mine.yaml", "upbring sft: no such flag -c; did you mean --settings?"),
        ("sft -q", "upbring sft: no such flag -q; see `upbring sft --help`"),
        ("sft --max-step 3", "upbring sft: no such flag --max-step; did you mean --max-steps?"),
        ("sft axo.yaml", "upbring sft: axo.yaml is a settings file, not data; give it with --set"),
        (
            "grpo builtin:sprout",
            "upbring grpo: builtin:sprout is a model, not data; give it with -",
        ),
    ],
)
def test_a_wrong_command_line_is_one_message(line: str, expected: str) -> None:
    assert problem(line).startswith(expected)
    assert "\n" not in problem(line)


NO_FSDP = (
    "DeepSpeed and FSDP are not available; use --processes, each with the whole model, and LoRA "
    "and --gradient-checkpointing to save memory"
)


def test_all_unknown_flags_are_reported_at_once() -> None:
    line = "sft d.jsonl --rnak 3 --zzz -1 --rnak=4 --lr 1 --fsdp full -o out"
    assert problem(line).splitlines() == [
        "upbring sft: no such flag --rnak; did you mean --rank?",
        "upbring sft: no such flag --zzz; see `upbring sft --help`",
        f"upbring sft: --fsdp: {NO_FSDP}",
        "upbring sft: no such flag -o; did you mean --output-dir?",
    ]


def test_a_settings_file_may_be_called_config() -> None:
    assert parse("sft --config r.yaml").settings_file == Path("r.yaml")


def test_a_folder_of_a_model_is_not_data(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert f"{tmp_path} is a model, not data" in problem(f"sft {tmp_path}")


@pytest.mark.parametrize("name", list(commands()))
def test_every_option_of_every_command_is_parsed(name: str) -> None:
    for option in SettingsCommand(commands()[name]).params:
        if option.name == "positional":
            continue
        value = "" if getattr(option, "is_flag", False) else " 1"
        for flag in (*option.opts, *option.secondary_opts):
            assert parse(f"{name} {flag}{value}")


def test_help_shows_panels_types_ranges_choices_and_defaults(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert parse_flags(commands()["sft"], ["--help"]) is None
    page = " ".join(capsys.readouterr().out.split())
    for text in (
        "Usage: upbring sft [OPTIONS] [FILE]...",
        "Training: --epochs NUMBER",
        "Supervised fine-tuning: --turns all|last",
        "--learning-rate NUMBER Peak learning rate. [above 0; default: 0.0002]",
        "[from 0 to 1; default: 0.1]",
        "--tune lora|full Train",
        "--dora / --no-dora",
        "[repeatable; required]",
        "Example: upbring sft chat.jsonl",
    ):
        assert text in page
    assert "--lr " not in page


@pytest.mark.parametrize("columns", [60, 100])
def test_help_wraps_to_the_width_of_the_terminal(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    parse_flags(commands()["sft"], ["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert columns - 10 < max(map(len, lines)) <= columns


def test_models_are_called_models(capsys: pytest.CaptureFixture[str]) -> None:
    parse_flags(commands()["evaluate"], ["--help"])
    assert "Usage: upbring evaluate [OPTIONS] [MODEL]..." in capsys.readouterr().out


def test_what_a_line_gives_resolves_to_settings() -> None:
    line = "sft a.jsonl --model m --lr 1e-5 --batch-size 4 --mix b=0.5 --dora"
    settings = resolve(SftSettings, section="sft", flags=parse(line).flags).settings
    assert settings.data == (Path("a.jsonl"),)
    assert (settings.learning_rate, settings.mix, settings.dora) == (1e-5, ("b=0.5",), True)
    assert settings.batch_size == 4
