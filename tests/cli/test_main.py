import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from upbring import __version__
from upbring.cli.command_table import GROUPS, commands
from upbring.cli.main import configure_offline_mode, main, model_names
from upbring.errors import ResourceError
from upbring.settings.commands.runs import RunsSettings
from upbring.settings.resolve import Resolved

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "matplotlib", "scipy", "numpy", "peft", "tokenizers")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "upbring", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


@pytest.fixture
def runs_module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Replace the module of `upbring runs` by an empty one, to test how its errors are handled."""
    module = ModuleType("upbring.cli.runs.list_runs")
    monkeypatch.setitem(sys.modules, "upbring.cli.runs.list_runs", module)
    return module


def raising(error: BaseException) -> object:
    def command(resolved: Resolved[RunsSettings]) -> None:
        del resolved
        raise error

    return command


def test_a_command_gets_its_resolved_settings(runs_module: ModuleType) -> None:
    seen: list[Resolved[RunsSettings]] = []
    runs_module.run = seen.append  # type: ignore[attr-defined]  # a module made here
    assert main(["runs", "--runs", "elsewhere"]) == 0
    assert seen[0].settings == RunsSettings(runs=Path("elsewhere"))
    assert seen[0].origins == {"runs": "flag"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["sftt"], "upbring: no such command sftt; did you mean sft?\n"),
        (["zzz"], "upbring: no such command zzz; see `upbring --help`\n"),
        (["--versoin"], "upbring: no such flag --versoin; did you mean --version?\n"),
        (["sft", "--rnak", "3"], "upbring sft: no such flag --rnak; did you mean --rank?\n"),
        (["runs", "--settings", "none.yaml"], "none.yaml: cannot be read: no such file"),
        (
            ["chat"],
            "upbring chat: MODEL is required; for example: `upbring chat runs/sft-1 --temp",
        ),
    ],
)
def test_a_wrong_command_line_is_one_message_and_exit_code_2(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    found = capsys.readouterr()
    assert found.err.startswith(expected)
    assert found.err.count("\n") == 1
    assert not found.out


def test_an_error_sets_the_exit_code_and_shows_a_traceback_only_when_asked(
    runs_module: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    runs_module.run = raising(ResourceError("disk: full; delete"))  # type: ignore[attr-defined]  # as above
    assert main(["runs"]) == 3
    assert capsys.readouterr().err == "disk: full; delete\n"
    assert main(["runs", "--debug"]) == 3
    assert "Traceback" in capsys.readouterr().err
    assert main(["--debug", "runs"]) == 3
    assert "Traceback" in capsys.readouterr().err


def test_an_internal_error_is_reported_as_one(
    runs_module: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    runs_module.run = raising(ZeroDivisionError("by\nzero"))  # type: ignore[attr-defined]  # as above
    assert main(["runs"]) == 1
    assert capsys.readouterr().err == (
        "this is a bug in upbring: ZeroDivisionError: by zero; "
        "run again with --debug for the traceback\n"
    )


def test_an_interruption_is_one_line(
    runs_module: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    runs_module.run = raising(KeyboardInterrupt())  # type: ignore[attr-defined]  # as above
    assert main(["runs"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_an_interruption_while_a_command_is_imported_started_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class InterruptedModule(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(
        sys.modules, "upbring.cli.runs.list_runs", InterruptedModule("upbring.cli.runs.list_runs")
    )
    assert main(["runs"]) == 130
    assert capsys.readouterr().err == "interrupted; nothing was started\n"


def test_a_command_called_by_another_name_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    assert "`upbring train` is `upbring sft`." in capsys.readouterr().out
    assert main(["sft", "--help"]) == 0
    assert "` is `" not in capsys.readouterr().out


def test_the_first_help_page_shows_a_command_to_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    page = " ".join(capsys.readouterr().out.split())
    assert "upbring sft chat.jsonl --model builtin:sprout" in page


def test_a_closed_pipe_is_quiet() -> None:
    code = (
        "import os, sys; r, w = os.pipe(); os.dup2(w, 1); os.close(w); os.close(r)\n"
        "from upbring.cli.main import main; sys.exit(main(['{}']))"
    )
    for word in ("--help", "--version"):
        found = subprocess.run(
            [sys.executable, "-c", code.format(word)], cwd=ROOT, capture_output=True, check=False
        )
        assert found.stderr == b""
        assert found.returncode in {1, 141}


def test_the_version_and_the_commands_are_printed() -> None:
    assert run("--version").stdout == f"upbring {__version__}\n"
    page = run().stdout
    assert page == run("--help").stdout
    assert all(command.name in page for command in commands().values())


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in commands())])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        "import contextlib, io, sys\nfrom upbring.cli.main import main\n"
        f"with contextlib.redirect_stdout(io.StringIO()): assert main({words!r}) == 0\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout == "[]\n"


@pytest.mark.parametrize(("words", "most"), [(["--help"], 380), (["sft", "--help"], 460)])
def test_help_reads_few_modules(words: list[str], most: int) -> None:
    # 316 and 388 when this was written; torch alone brings more than a thousand. The time it
    # takes depends on the machine and is measured by bench/help.py.
    code = (
        "import contextlib, io, sys\nfrom upbring.cli.main import main\n"
        f"with contextlib.redirect_stdout(io.StringIO()): assert main({words!r}) == 0\n"
        "print(len(sys.modules))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(found.stdout) < most


def test_the_package_itself_imports_nothing_heavy() -> None:
    code = (
        "import sys, upbring; upbring.InputError\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout == "[]\n"


@pytest.mark.parametrize(
    ("model", "is_offline"),
    [(None, True), ("builtin:sprout", True), ("./a/b", True), ("here/b", True), ("owner/b", False)],
)
def test_the_hub_is_offline_unless_a_hub_id_is_named(
    model: str | None, *, is_offline: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", {})
    configure_offline_mode([] if model is None else [model])
    assert os.environ.get("HF_HUB_OFFLINE") == ("1" if is_offline else None)
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"


def test_hub_variables_set_by_the_user_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"HF_HUB_OFFLINE": "0"})
    configure_offline_mode()
    assert os.environ["HF_HUB_OFFLINE"] == "0"


@pytest.mark.parametrize("code", [130, 143])
def test_an_interrupted_command_waits_for_no_thread(code: int) -> None:
    program = (
        "import threading, time\n"
        "from upbring import __main__\n"
        "from upbring.cli import main as command_line\n"
        "threading.Thread(target=time.sleep, args=(300,)).start()\n"
        f"command_line.main = lambda: print('done') or {code}\n"
        "__main__.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (code, "done\n")


def test_commands_are_listed_in_groups(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    page = capsys.readouterr().out
    heads = [f"\n{group}:\n" for group in GROUPS]
    assert [page.index(head) for head in heads] == sorted(page.index(head) for head in heads)
    assert main(["help"]) == 0
    assert capsys.readouterr().out == page


def test_a_command_has_names_of_other_tools(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "sft"]) == main(["finetune", "--help"]) == main(["fine_tune", "-h"]) == 0
    assert capsys.readouterr().out.count("Usage: upbring sft [OPTIONS]") == 3
    assert main(["webui"]) == 2
    assert capsys.readouterr().err.startswith("upbring serve: MODEL is required")
    assert main(["configure"]) == 2
    assert capsys.readouterr().err.startswith("upbring configure: settings are flags")


def test_a_hub_id_is_found_wherever_a_command_or_a_recipe_names_a_model(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "model: owner/base\nstages:\n  ppo: {reward_model: 'owner/judge', steps: 1}\n"
    )
    assert "owner/one" in model_names(SimpleNamespace(models=("./local", "owner/one")))
    assert "owner/run" in model_names(SimpleNamespace(run="owner/run"))
    planned = ("sft", "d.jsonl", "--model", "owner/planned")
    assert "owner/planned" in model_names(SimpleNamespace(do=planned))
    assert {"owner/base", "owner/judge"} <= {*model_names(SimpleNamespace(recipe=recipe))}
    assert not {*model_names(SimpleNamespace(data=("owner/data",)))} - {""}
