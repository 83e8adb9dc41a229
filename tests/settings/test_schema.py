from pathlib import Path
from typing import ClassVar, Literal

import pytest
from pydantic import ValidationError

from upbring.settings.methods.pretrain import PretrainSettings
from upbring.settings.methods.sft import SftSettings
from upbring.settings.schema import Settings, setting, setting_specs


class First(Settings):
    panel: ClassVar[str] = "The first"

    rate: float = setting(0.5, gt=0, lt=1, help="How fast.")
    files: tuple[Path, ...] = setting(min_length=1, help="Which.")


class Second(Settings):
    kind: Literal["a", "b", "c"] = setting("a", help="Of which kind.")
    threads: int | None = setting(None, ge=1, le=8, help="How many.")


class Both(First, Second):
    rate: float = setting(0.25, ge=0, help="How fast, at most.")


def test_a_declaration_has_type_range_and_default() -> None:
    found = setting_specs(Both)
    assert [
        (d.flag, d.value_type, d.range_text, d.default_text, d.values_text) for d in found.values()
    ] == [
        ("--rate", "number", "at least 0", "0.25", "a number at least 0"),
        ("--files", "path", "", "required", "a path, several"),
        ("--kind", "choice", "", "a", "`a`, `b`, `c`"),
        ("--threads", "integer", "from 1 to 8", "unset", "a whole number from 1 to 8"),
    ]
    assert setting_specs(First)["rate"].range_text == "above 0 and below 1"
    assert found["kind"].expected == "a, b or c"


def test_a_setting_declared_again_keeps_its_first_panel() -> None:
    assert setting_specs(Both)["rate"].panel == "The first"
    assert setting_specs(Both)["kind"].panel == "Second"
    assert setting_specs(PretrainSettings)["learning_rate"].panel == "Training"
    assert setting_specs(PretrainSettings)["learning_rate"].default == 1e-3


def test_panels_are_in_the_order_of_the_bases() -> None:
    panels = list(dict.fromkeys(d.panel for d in setting_specs(SftSettings).values()))
    assert panels == [
        *("Model", "Adapter", "Data", "Training", "Evaluation", "Supervised fine-tuning")
    ]
    assert set(setting_specs(SftSettings)) == set(SftSettings.model_fields)


def test_settings_are_frozen_strict_and_closed() -> None:
    both = Both(files=(Path("a"),))
    with pytest.raises(ValidationError, match="frozen"):
        both.rate = 1.0  # type: ignore[misc]  # the point of the test
    for wrong in ({"rate": True}, {"threads": True}, {"kind": "z"}, {"rate": float("nan")}):
        with pytest.raises(ValidationError):
            Both.model_validate({"files": (Path("a"),), **wrong})
    with pytest.raises(ValidationError, match="extra"):
        Both.model_validate({"files": (Path("a"),), "other": 1})
