from pathlib import Path

from tests.commands import done
from upbring.runs.run_folder import Run


def test_runs_are_below_the_model_that_they_started_from(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    for name, method, settings in (
        ("sft", "sft", "model: m"),
        ("reward", "reward", "model: ./m"),
        ("ppo", "ppo", "model: runs/sft\n  reward_model: [runs/reward]"),
        ("lost", "dpo", "model: runs/gone"),
        ("hub", "dpo", "model: owner/name"),
        ("again", "dpo", "model: runs/ppo/model"),
    ):
        run = Run.create(
            tmp_path / "runs", method, name=name, settings=f"{method}:\n  {settings}\n"
        )
        assert run.start_directory() is not None
        metadata = run.metadata_file.read_text().replace(str(Path.cwd()), "../..")
        run.metadata_file.write_text(metadata)
    out = done(tmp_path, "runs", "tree").out
    assert [line.rstrip() for line in out.splitlines()] == [
        "m",
        "├── sft  sft, interrupted",
        "│   └── ppo  ppo, interrupted, reward_model reward",
        "│       └── again  dpo, interrupted",
        "└── reward  reward, interrupted",
        "runs/gone (gone)",
        "└── lost  dpo, interrupted",
        "owner/name",
        "└── hub  dpo, interrupted",
    ]


def test_a_replaced_parent_is_named_and_no_cycle_is_followed(tmp_path: Path) -> None:
    for name, model in (("a", "runs/b"), ("b", "runs/a")):
        run = Run.create(tmp_path / "runs", "sft", name=name, settings=f"sft:\n  model: {model}\n")
        text = run.metadata_file.read_text().replace(str(Path.cwd()), "../..")
        run.metadata_file.write_text(text)
    out = done(tmp_path, "runs", "tree").out
    assert "a  sft, interrupted, model b (replaced since)" in out
    assert "    └── b  sft, interrupted" in out


def test_without_runs_the_command_that_starts_one_is_printed(tmp_path: Path) -> None:
    assert done(tmp_path, "runs-tree").out.startswith("runs: no runs yet; start one with")


def test_the_tree_of_a_folder_has_the_stages_of_its_pipelines(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    runs = tmp_path / "runs"
    for folder, name, settings in (
        (runs, "sft", "model: m"),
        (runs / "assistant" / "stages", "sft", "model: runs/sft"),
        (runs, "dpo", "model: runs/assistant/stages/sft"),
    ):
        run = Run.create(folder, "sft", name=name, settings=f"sft:\n  {settings}\n")
        text = run.metadata_file.read_text().replace(str(Path.cwd()), str(tmp_path))
        run.metadata_file.write_text(text)
    out = done(tmp_path, "runs", "tree").out
    assert [line.rstrip() for line in out.splitlines()] == [
        "m",
        "└── sft  sft, interrupted",
        "    └── assistant/stages/sft  sft, interrupted",
        "        └── dpo  sft, interrupted",
    ]
