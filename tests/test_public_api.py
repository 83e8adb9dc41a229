"""The names that `import upbring` gives, and the examples that use them."""

import ast
import inspect
import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import upbring as ub

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "python_api.py"
FUNCTIONS = sorted(name for name in ub.__all__ if inspect.isfunction(getattr(ub, name)))
SUBPACKAGES = ("evaluate", "export", "train")  # whose names are functions too

# Runs a script in a process that cannot open a connection.
OFFLINE = """
import runpy, socket, sys

def refuse(self, address):
    raise AssertionError(f"connects to {address}")

socket.socket.connect = refuse
runpy.run_path(sys.argv[1], run_name="__main__")
"""


def run_offline(script: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in a folder, without a network and without the program's own variables."""
    environment = {name: value for name, value in os.environ.items() if "HF_HUB" not in name}
    return subprocess.run(
        [sys.executable, "-c", OFFLINE, str(script)],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_name_is_there_and_listed() -> None:
    assert sorted(ub.__all__) == ub.__all__
    assert dir(ub) == ub.__all__
    for name in ub.__all__:
        assert getattr(ub, name) is not None
    with pytest.raises(AttributeError, match="module 'upbring' has no attribute 'sfft'"):
        ub.sfft  # type: ignore[attr-defined]  # noqa: B018 -- on purpose


@pytest.mark.parametrize("name", SUBPACKAGES)
def test_a_function_stays_one_after_the_subpackage_of_its_name_is_imported(name: str) -> None:
    assert isinstance(import_module(f"upbring.{name}"), ModuleType)
    assert inspect.isfunction(getattr(ub, name))


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, upbring; upbring.sft, upbring.evaluate, upbring.check, dir(upbring); "
        "print({'torch', 'transformers', 'datasets', 'matplotlib'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    out = subprocess.check_output([sys.executable, "-c", code], text=True, env=environment)
    assert out.strip() == "set()"


def test_every_public_function_has_an_example() -> None:
    tree = ast.parse(EXAMPLE.read_text(encoding="utf-8"))
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert [name for name in FUNCTIONS if f"ub.{name}" not in called] == []
    for kind in (ub.Run, ub.Model, ub.Evaluation):
        used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        methods = {n for n, v in vars(kind).items() if inspect.isfunction(v) and n[0] != "_"}
        assert methods <= used, kind


def test_the_examples_run_without_a_network(tmp_path: Path) -> None:
    done = run_offline(EXAMPLE, tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(r"facts +accuracy", done.stdout)
    assert (tmp_path / "assistant" / "model.safetensors").is_file()
    assert (tmp_path / "runs" / "grpo-1" / "model").is_dir()


def test_the_examples_pass_the_strict_type_checker(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "import upbring as ub\n\nub.sft('m', data='d', rnak=3)\nub.dpo('m', data='d', beta='x')\n"
        "ub.plan(ub.sft, 'm', data='d', rank='x')\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary"]
    command += ["--config-file", str(ROOT / "pyproject.toml")]
    command += [f"--cache-dir={ROOT / '.mypy_cache' / sys.platform}"]  # as `make check` left it
    done = subprocess.run(
        [*command, str(EXAMPLE), str(wrong)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    found = [line.partition(".py:")[2].partition(":")[0] for line in done.stdout.splitlines()]
    assert "python_api.py" not in done.stdout, done.stdout
    assert set(found) >= {"3", "4", "5"}, done.stdout


def code_cells(notebook: Path) -> list[str]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_the_notebook_runs_and_learns_what_it_says(tmp_path: Path) -> None:
    cells = code_cells(ROOT / "examples" / "quickstart.ipynb")
    script = tmp_path / "quickstart.py"
    checks = 'assert evaluation.get("accuracy").low > evaluation.results[0].high\n'
    script.write_text("\n".join(["import matplotlib", "matplotlib.use('Agg')", *cells, checks]))
    done = run_offline(script, tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "runs" / "colors" / "report.html").is_file()


def test_the_notebook_is_kept_without_outputs() -> None:
    text = (ROOT / "examples" / "quickstart.ipynb").read_text(encoding="utf-8")
    cells = json.loads(text)["cells"]
    assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []


def test_warnings_of_bitsandbytes_reach_nobody_without_a_log() -> None:
    code = (
        "import upbring, logging; logging.getLogger('bitsandbytes.backends.cpu.ops').warning('x')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
