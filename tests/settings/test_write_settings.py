from pathlib import Path
from typing import Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.conftest import trials
from upbring.settings.methods.sft import SftSettings
from upbring.settings.resolve import Resolved, resolve
from upbring.settings.schema import Settings, setting
from upbring.settings.write_settings import format_yaml


class Everything(Settings):
    text: str = setting("", help="")
    maybe: str | None = setting(None, help="")
    texts: tuple[str, ...] = setting((), help="")
    whole: int = setting(0, help="")
    number: float = setting(0.0, help="")
    switch: bool = setting(default=False, help="")
    path: Path = setting(Path(), help="")
    choice: Literal["null", "true", "1e5", "a b"] = setting("a b", help="")


TRICKY = st.sampled_from(
    [
        "no",
        "null",
        "~",
        "true",
        "1e-5",
        "a: b",
        "a # b",
        "- a",
        "12:30",
        "\ufeffa",
        "\x85",
        "'",
        "\ud800",
    ]
)
TEXT = st.text() | TRICKY
PATHS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
EVERYTHING = st.builds(
    Everything,
    text=TEXT,
    maybe=st.none() | TEXT,
    texts=st.lists(TEXT).map(tuple),
    whole=st.integers(-(10**18), 10**18),
    number=st.floats(allow_nan=False, allow_infinity=False),
    switch=st.booleans(),
    path=PATHS.map(Path),
    choice=st.sampled_from(["null", "true", "1e5", "a b"]),
)


@given(everything=EVERYTHING)
@hypothesis_settings(max_examples=trials(60, 5000), derandomize=True)
def test_what_is_written_reads_back_equal(
    everything: Everything, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / "settings.yaml"
    resolved = Resolved(everything, dict.fromkeys(Everything.model_fields, "a\nb: flag"))
    file.write_text(format_yaml(resolved, "everything"), encoding="utf-8")
    assert resolve(Everything, section="everything", file=file, flags={}).settings == everything


def test_each_written_value_has_its_origin(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text("sft:\n  model: 'no'\n  learning_rate: 1e-5\n", encoding="utf-8")
    found = resolve(SftSettings, section="sft", file=file, flags={"data": ["a b"]})
    lines = format_yaml(found, "sft").splitlines()
    assert lines[1] == "sft:"
    assert f'  model: "no"  # {file}:2' in lines
    assert f"  learning_rate: 1.0e-05  # {file}:3" in lines
    assert '  data: ["a b"]  # flag' in lines
    assert "  dora: false  # default" in lines


def test_other_readers_of_yaml_find_the_same_values() -> None:
    found = resolve(SftSettings, section="sft", flags={"model": "on", "data": ["a"]})
    loaded = yaml.safe_load(format_yaml(found, "sft"))["sft"]
    assert loaded == found.settings.model_dump(mode="json")
