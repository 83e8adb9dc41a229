import random
import string
from pathlib import Path

import pytest
from pydantic import model_validator

from tests.conftest import trials
from upbring.errors import InputError
from upbring.settings.aliases import nearest_setting
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.settings.commands.export import ExportSettings
from upbring.settings.commands.serve import ServeSettings
from upbring.settings.methods.ppo import PpoSettings
from upbring.settings.methods.sft import SftSettings
from upbring.settings.resolve import Resolved, resolve
from upbring.settings.schema import Settings, setting, setting_specs

REQUIRED = {"model": "base", "data": "a.jsonl"}


def read(text: str, **flags: object) -> Resolved[SftSettings]:
    file = Path("recipe.yaml")
    file.write_text(text, encoding="utf-8")
    return resolve(
        SftSettings,
        section="sft",
        file=file,
        flags={**REQUIRED, **flags},
        other_sections={"export": lambda: ExportSettings},
    )


def problems(text: str, **flags: object) -> list[str]:
    with pytest.raises(InputError) as caught:
        read(text, **flags)
    return str(caught.value).splitlines()


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_flag_beats_the_file_and_the_file_the_default() -> None:
    found = read("sft:\n  rank: 8\n  learning_rate: 1e-5\n", rank="4")
    assert (found.settings.rank, found.settings.learning_rate, found.settings.alpha) == (
        4,
        1e-5,
        32,
    )
    assert found.origins["rank"] == "flag"
    assert found.origins["learning_rate"] == "recipe.yaml:3"
    assert found.origins["alpha"] == "default"
    assert set(found.origins) == set(SftSettings.model_fields)


def test_paths_stay_as_given() -> None:
    assert read("sft:\n  runs: ../elsewhere\n").settings.runs == Path("../elsewhere")


def test_a_misspelt_setting_is_named_with_its_line() -> None:
    assert problems("# mine\nsft:\n  learning_rat: 3\n") == [
        "recipe.yaml:3: sft.learning_rat: no such setting; did you mean sft.learning_rate?"
    ]
    assert problems("sft:\n  zzz: 3\n") == [
        "recipe.yaml:2: sft.zzz: no such setting; see `upbring sft --help`"
    ]
    assert problems("sft:\n  <<: {rank: 3}\n")[0].startswith("recipe.yaml:2: sft.<<: no such")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stf:\n  rank: 3\n", "recipe.yaml:1: stf: no such command; did you mean sft?"),
        ("learing_rate: 1e-4\n", "recipe.yaml:1: sft.learing_rate: no such setting; did you mean"),
        ("rank: 3\nsft:\n", "recipe.yaml:1: rank: not within a command; put it under `sft:`"),
        ("rank: 0\n", "recipe.yaml:1: sft.rank: 0 is out of range; give a whole number"),
        ("export: {to: x}\n", "recipe.yaml: no section `sft:`, only export; write the settings"),
        ("{}\n", "recipe.yaml: no section `sft:`, only nothing; write the settings"),
        ("- sft\n", "recipe.yaml:1: a list; write a mapping: `sft:`"),
        ("sft\n", "recipe.yaml:1: text; write a mapping: `sft:`"),
        ("sft: 3\n", "recipe.yaml:1: sft: text; give a mapping of settings"),
        ("sft:\n- rank\n", "recipe.yaml:2: sft: a list; give a mapping of settings"),
        ("sft:\n  rank: 0\n", "recipe.yaml:2: sft.rank: 0 is out of range; give a whole number"),
        ("sft:\n  rank: {a: 1}\n", "recipe.yaml:2: sft.rank: a mapping; give a whole number"),
        ("sft:\n  data: []\n", "recipe.yaml:2: sft.data: empty; give a path"),
        ("sft:\n  model:\n", "recipe.yaml:2: sft.model: no value; give text, or delete the line"),
        ("sft:\n  dora: no\n", "recipe.yaml:2: sft.dora: 'no' is not a boolean; write true or"),
        ("export:\n  too: x\nsft:\n", "recipe.yaml:2: export.too: no such setting; did you mean"),
    ],
)
def test_a_wrong_file_is_refused(text: str, expected: str) -> None:
    file = Path("recipe.yaml")
    file.write_text(text, encoding="utf-8")
    flags = {name: value for name, value in REQUIRED.items() if f"{name}:" not in text}
    with pytest.raises(InputError) as caught:
        resolve(
            SftSettings,
            section="sft",
            file=file,
            flags=flags,
            other_sections={"export": lambda: ExportSettings},
        )
    assert str(caught.value).startswith(expected)


def test_all_problems_are_reported_at_once_in_the_order_of_the_file() -> None:
    found = problems("sft:\n  alpha: 0\n  rank: many\nchek: {}\n", steps="x", tuen="full")
    assert [line.partition(": ")[0] for line in found] == [
        "recipe.yaml:2",
        "recipe.yaml:3",
        "recipe.yaml:4",
        "--steps",
        "--tuen",
    ]
    assert found[4] == "--tuen: no such flag; did you mean --tune?"


def test_a_good_flag_does_not_excuse_a_bad_line() -> None:
    assert len(problems("sft:\n  rank: many\n", rank="4")) == 1


def test_a_missing_required_setting_is_named_with_its_flag() -> None:
    with pytest.raises(InputError) as caught:
        resolve(ExportSettings, section="export", flags={})
    assert str(caught.value).splitlines() == [
        "--run: required and not given; give --run, or run: under export: in the settings file",
        "--to: required and not given; give --to, or to: under export: in the settings file",
    ]
    with pytest.raises(InputError, match=r"^--to: '' is not a path; give a path, such as ./data$"):
        resolve(ExportSettings, section="export", flags={"run": "r", "to": ""})


def test_a_value_of_the_wrong_type_is_refused() -> None:
    assert problems("sft:\n", rank=2.5)[0].startswith("--rank: 2.5 is not a whole number")
    assert problems("sft:\n", rank=True)[0].startswith("--rank: True is not a whole number")


def test_a_rule_between_settings_has_its_own_message() -> None:
    class Ordered(Settings):
        low: int = setting(0, help="Low.")
        high: int = setting(1, help="High.")

        @model_validator(mode="after")
        def _in_order(self) -> "Ordered":
            if self.low > self.high:
                raise ValueError("low is above high; swap them")
            return self

    with pytest.raises(InputError, match=r"^ordered: low is above high; swap them$"):
        resolve(Ordered, section="ordered", flags={"low": "2"})


def typo(word: str, draw: random.Random) -> str:
    at, letter = draw.randrange(len(word)), draw.choice(string.ascii_lowercase)
    swap = min(at, len(word) - 2)
    return draw.choice(
        (
            word[:at] + word[at + 1 :],
            word[:at] + letter + word[at:],
            word[:at] + letter + word[at + 1 :],
            word[:swap] + word[swap + 1] + word[swap] + word[swap + 2 :],
        )
    )


def test_the_suggestion_for_a_typo_is_right_in_19_cases_of_20() -> None:
    draw = random.Random(0)
    num_right = num_tried = 0
    for settings_class in (SftSettings, PpoSettings, EvaluateSettings, ExportSettings):
        names = list(setting_specs(settings_class))
        for name in names * trials(10, 200):
            spelt = typo(name, draw)
            if spelt not in names:
                num_tried += 1
                num_right += nearest_setting(spelt, names) == name
    assert num_tried > 500
    assert num_right / num_tried >= 0.95


@pytest.mark.parametrize("trackers", [(), ("wandb",), ("wandb", "tensorboard")])
def test_a_repeated_flag_is_converted_value_by_value(trackers: tuple[str, ...]) -> None:
    given = {"data": ("d.jsonl",), "report_to": trackers or ("none",)}
    found = resolve(SftSettings, section="sft", flags={"model": "m", **given})
    assert found.settings.track == trackers
    with pytest.raises(InputError, match="each on its own"):
        resolve(SftSettings, section="sft", flags={"model": "m", **given, "report_to": ("all",)})


def test_a_text_that_is_too_short_is_answered_with_its_least_length() -> None:
    with pytest.raises(InputError, match="--api-key: too short; give at least 8 characters"):
        resolve(ServeSettings, section="serve", flags={"model": "m", "api_key": "x"})
