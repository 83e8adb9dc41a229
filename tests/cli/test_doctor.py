from pathlib import Path

import pytest

from upbring.cli import doctor, main

FACTS = [
    *("python", "upbring", "torch", "transformers", "tokenizers", "peft", "safetensors"),
    *("cores", "memory", "run folder", "cache folder", "float32", "bfloat16", "gpu", "allocator"),
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home folder in which the commands run."""
    folder = tmp_path / "home" / "somebody"
    (folder / "work").mkdir(parents=True)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(folder))
    for name in ("UPBRING_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(folder / "work")
    return folder


def run_doctor(*words: str) -> int:
    return main.main(["doctor", "--seconds", "0.01", *words])


def test_every_fact_is_printed_without_the_home_folder(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_doctor() == 0
    out, err = capsys.readouterr()
    assert [fact for fact in FACTS if not any(l.startswith(fact) for l in out.splitlines())] == []
    assert "somebody" not in out + err
    assert "~" in out
    assert out.endswith("this machine can train\n")
    assert list((home / "work").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_a_warning_with_advice(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "file").write_text("no folder")
    monkeypatch.setenv("UPBRING_CACHE", str(home / "file" / "cache"))
    assert run_doctor() == 0
    out = capsys.readouterr().out
    assert "! cache folder cannot be written: ~/file/cache" in out.replace("\\", "/")
    assert "set UPBRING_CACHE" in out


def test_a_folder_that_cannot_hold_runs_is_an_error(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "file").write_text("no folder")
    assert run_doctor("--runs", str(home / "file" / "runs")) == 2
    out, err = capsys.readouterr()
    assert "can train" not in out
    assert "run folder ~" in err
    assert "cannot be written (Not a directory); change its permissions" in err


def test_a_small_save_is_timed_and_leaves_nothing(tmp_path: Path) -> None:
    assert doctor.measure_sync_seconds(tmp_path) > 0
    assert list(tmp_path.iterdir()) == []
