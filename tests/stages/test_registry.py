"""The registry: built-in methods, methods of other packages, and what a broken package causes."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import Distribution, EntryPoints
from pathlib import Path

import pytest

from tests import preferences, small
from upbring.errors import InputError
from upbring.report.read_folders import read_evidence
from upbring.runs.run_folder import Run
from upbring.settings.schema import Settings, setting_specs
from upbring.stages import registry
from upbring.stages.context import Implementation
from upbring.stages.registry import (
    find_method,
    load_implementation,
    load_settings,
    methods,
)

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "upbring-hinge-dpo"
FOREIGN = replace(methods()["dpo"], name="foreign")  # what the entry points of this file name
NOT_A_METHOD = "text"


@pytest.mark.parametrize("name", list(methods()))
def test_a_method_s_import_strings_lead_to_settings_and_an_implementation(name: str) -> None:
    method = find_method(name)
    assert method.name == name
    settings_class = load_settings(method)
    assert issubclass(settings_class, Settings)
    assert method.positional in setting_specs(settings_class)
    assert isinstance(load_implementation(method), Implementation)
    assert method.example.startswith(f"upbring {name} ")
    assert method.panels


def test_an_unknown_method_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match="method 'dpoo': not found; did you mean dpo"):
        find_method("dpoo")
    with pytest.raises(
        InputError, match=r"method 'x': not found; use one of pretrain, sft, .*missing"
    ):
        find_method("x")


def test_the_registry_imports_no_torch() -> None:
    code = "import sys; from upbring.stages.registry import methods; methods(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {"torch", "numpy", "pydantic", "transformers"} & set(done.stdout.split())


def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *values: str) -> None:
    """Let packages p0, p1 … have these entry points."""
    points = []
    for i, value in enumerate(values):
        folder = tmp_path / f"p{i}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: p{i}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(
            f"[{registry.ENTRY_POINT_GROUP}]\ne{i} = {value}\n"
        )
        points += Distribution.at(folder).entry_points
    monkeypatch.setattr(
        registry, "entry_points", lambda group: EntryPoints(points).select(group=group)
    )


HERE = "tests.stages.test_registry"


def test_a_method_of_another_package_is_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, f"{HERE}:FOREIGN")
    found = methods.__wrapped__()
    assert list(found) == [*methods(), "foreign"]
    assert found["foreign"].help == methods()["dpo"].help


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            ["nowhere:METHOD"],
            "package p0: entry point e0 = nowhere:METHOD cannot be loaded (ModuleNotFoundError: ",
        ),
        (
            [f"{HERE}:NOTHING"],
            f"package p0: entry point e0 = {HERE}:NOTHING cannot be loaded (Attr",
        ),
        (
            [f"{HERE}:NOT_A_METHOD"],
            f"package p0: entry point e0 = {HERE}:NOT_A_METHOD is a str, not an upbring.stages",
        ),
        (
            [f"{HERE}:FOREIGN", f"{HERE}:FOREIGN"],
            "package p1: its method 'foreign' has the name of one of package p0; uninstall one",
        ),
    ],
)
def test_a_broken_package_is_one_error_that_names_it(
    values: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, *values)
    with pytest.raises(InputError) as caught:
        methods.__wrapped__()
    assert str(caught.value).startswith(expected)
    assert "uninstall" in str(caught.value)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the example package into a folder of its own."""
    source = shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("source") / "example")
    target = tmp_path_factory.mktemp("packages")
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")
    command = [sys.executable, "-m", "pip", "install", *offline, "--target", str(target)]
    subprocess.run([*command, str(source)], check=True, capture_output=True)
    return target


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    small.make_model(folder / "m")
    preferences.make_pairs(folder / "p.jsonl")
    return folder


def upbring(packages: Path, home: Path, *words: str) -> str:
    """Run the program with the package; return what it prints."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{packages}{os.pathsep}{ROOT}",
        "UPBRING_CACHE": str(home / "cache"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "upbring", *words],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


FEW = ("--steps", "2", "--batch-size", "4", "--sample-tokens", "2", "--threads", "1")


def test_a_package_s_method_is_in_the_help(packages: Path, home: Path) -> None:
    assert "hinge-dpo" in upbring(packages, home, "--help")
    assert "--beta NUMBER" in upbring(packages, home, "hinge-dpo", "--help")


def test_a_package_s_method_trains_and_is_planned(packages: Path, home: Path) -> None:
    line = ("hinge-dpo", "p.jsonl", "--model", "m", *FEW)
    assert "weights" in upbring(packages, home, "plan", *line)
    assert "runs/hinge-dpo-1: finished" in upbring(packages, home, *line)
    run = Run.open(home / "runs" / "hinge-dpo-1")
    metadata = run.read_metadata()
    assert metadata["method"] == "hinge-dpo"
    assert metadata["learns_from"] == "comparisons"
    assert metadata["panels"] == ["loss", "accuracy"]
    assert run.read_contract().kind == "policy"
    (stage,) = read_evidence([run.path]).stages  # here the package is not installed
    assert (stage.command, stage.makes) == ("hinge-dpo", "policy")


def test_a_package_s_method_is_a_stage_of_a_recipe_and_in_the_report(
    packages: Path, home: Path
) -> None:
    (home / "recipe.yaml").write_text(
        "model: m\nstages:\n  align: {method: hinge-dpo, data: p.jsonl, steps: 2, batch_size: 4, "
        "sample_tokens: 2, threads: 1}\n"
    )
    upbring(packages, home, "run", "recipe.yaml", "--to", "pipeline")
    report = (home / "pipeline" / "report.html").read_text(encoding="utf-8")
    assert "hinge-dpo" in report
    assert "trains on preference pairs" in report


def test_a_package_s_own_tests_pass(packages: Path, home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE / "tests")],
        cwd=home,
        env={**os.environ, "PYTHONPATH": f"{packages}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_example_is_short() -> None:
    lines = [line for path in EXAMPLE.rglob("*.py") for line in path.read_text().splitlines()]
    assert len(lines) <= 60
