import shutil
from pathlib import Path

from tests.commands import done
from upbring.durable import atomic_folder
from upbring.runs.run_folder import Run


def make(runs: Path, name: str, *, steps: int, settings: str = "") -> Run:
    run = Run.create(runs, "sft", name=name, settings=settings)
    run.checkpoints.mkdir()
    for step in range(1, steps + 1):
        with atomic_folder(run.checkpoints / f"step-{step}") as folder:
            (folder / "state.json").write_text('{"facts": {"best_step": 1}}')
            (folder / "tensors.safetensors").write_bytes(bytes(1_000_000))
    with atomic_folder(run.model) as folder:
        (folder / "config.json").write_text("{}")
    return run


def test_checkpoints_are_listed_and_deleted_only_with_the_flag(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    finished, stopped = make(runs, "a", steps=2), make(runs, "b", steps=5)
    finished.mark_finished()
    out = done(tmp_path, "runs", "prune").out
    head, first, second, last = [line.split() for line in out.splitlines()]
    assert head == ["run", "status", "delete", "free", "keep", "because"]
    assert first == ["a", "finished", "2", "checkpoints", "2.0", "MB", "–"]
    assert second[:6] == ["b", "interrupted", "2", "checkpoints", "2.0", "MB"]
    assert second[6:] == ["step-1,", "step-4,", "step-5", "needed", "to", "resume"]
    summary = "4 checkpoints, 4.0 MB; delete them with `upbring runs prune --delete`"
    assert " ".join(last) == summary
    assert len(list(finished.checkpoints.iterdir())) == 2
    out = done(tmp_path, "runs", "prune", "--delete").out
    assert out.endswith("deleted 4 checkpoints, 4.0 MB\n")
    assert list(finished.checkpoints.iterdir()) == []
    assert sorted(p.name for p in stopped.checkpoints.iterdir()) == ["step-1", "step-4", "step-5"]
    assert done(tmp_path, "runs", "prune").out.endswith("nothing to delete\n")


def test_one_run_is_pruned_by_its_folder_and_others_may_name_its_checkpoints(
    tmp_path: Path,
) -> None:
    runs = tmp_path / "runs"
    finished = make(runs, "a", steps=2)
    finished.mark_finished()
    make(runs, "b", steps=3, settings=f"sft:\n  data: [{runs}/a/checkpoints/step-1/x]\n")
    out = done(tmp_path, "runs", "prune", "runs/a", "--delete").out
    assert "another run names them" in out
    assert [path.name for path in finished.checkpoints.iterdir()] == ["step-1"]
    assert len(list((runs / "b" / "checkpoints").iterdir())) == 3
    shutil.rmtree(runs)
    assert done(tmp_path, "runs-prune").out.startswith("runs: no runs yet")


def test_stages_of_pipelines_are_pruned_and_their_settings_name_checkpoints(tmp_path: Path) -> None:
    runs, stages = tmp_path / "runs", tmp_path / "runs" / "assistant" / "stages"
    outer, inner = make(runs, "outer", steps=3), make(stages, "sft", steps=3)
    for name, folder, named in (("dpo", stages, outer), ("kto", runs, inner)):
        path = named.checkpoints / "step-1"
        make(folder, name, steps=0, settings=f"{name}:\n  model: {path}\n")
    for run in (outer, inner):
        run.mark_finished()
    for folder in (stages, stages / "sft", runs / "assistant", runs):
        out = done(tmp_path, "runs", "prune", str(folder)).out
        assert "another run names them" in out
    assert "assistant/stages/sft" in out
    done(tmp_path, "runs", "prune", str(stages), "--delete")
    done(tmp_path, "runs", "prune", "--delete")
    for run in (outer, inner):
        assert [path.name for path in run.checkpoints.iterdir()] == ["step-1"]
