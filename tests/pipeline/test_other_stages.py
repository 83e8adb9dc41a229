import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.remote.scripted_server import serving
from tests.stages.redteam.hardening import HARMFUL, INNOCENT
from upbring.data.read.records import Message
from upbring.errors import InputError
from upbring.model.gguf.locate_model import locate_model
from upbring.pipeline.other_stages import (
    STAGE_FUNCTIONS,
    SimulatedRanker,
    collect_rankings,
    make_ranker,
    write_toyworld,
)
from upbring.pipeline.recipe import read_recipe
from upbring.pipeline.runner import PipelineRunner, WaitingError
from upbring.pipeline.stage_output import find_damage
from upbring.settings.commands.collect import CollectSettings
from upbring.settings.commands.toyworld import ToyworldSettings
from upbring.settings.resolve import Resolved
from upbring.stages.collection.collect import AnsweredPrompt
from upbring.toyworld.tasks import as_row, fact_task
from upbring.toyworld.world import load_world


def answered_prompt(answers: tuple[str, ...]) -> AnsweredPrompt:
    world = load_world()
    task = fact_task(world, world.facts[0], question="What is it?")
    return AnsweredPrompt(task.prompt, answers, json.dumps(as_row(task)))


def test_simulated_annotators_prefer_correct_answers() -> None:
    world = load_world()
    truth = fact_task(world, world.facts[0], question="What is it?").reference
    one = answered_prompt((truth, "Shut up. I will not say anything."))
    ranks = SimulatedRanker(0)([one] * 20)
    assert sum(first < second for first, second in ranks) >= 17


def test_they_refuse_prompts_from_elsewhere() -> None:
    strange = AnsweredPrompt((Message("user", "Hi"),), ("a", "b"), '{"prompt": "Hi"}')
    with pytest.raises(InputError, match="can only rank answers to the toy world's own prompts"):
        SimulatedRanker(0)([strange])


def test_the_toy_world_is_written_as_files(tmp_path: Path) -> None:
    settings = ToyworldSettings(do=("export",), characters=10_000)
    messages: list[str] = []
    write_toyworld(Resolved(settings, {}), tmp_path / "world", messages.append)
    assert (tmp_path / "world" / "demonstrations.jsonl").is_file()
    assert "all synthetic" in messages[0]


def test_a_stage_waits_for_people(model_folder: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "p.jsonl"
    prompts.write_text(json.dumps({"prompt": "Hi"}) + "\n")
    settings = CollectSettings(
        model=str(model_folder), prompts=(prompts,), max_tokens=4, threads=1, dtype="float32"
    )
    with pytest.raises(
        WaitingError, match=r"0 of 1 items are ranked; open the page with `upbring label --to"
    ):
        collect_rankings(Resolved(settings, {}), tmp_path / "c", lambda _: None)


def test_a_judge_must_be_named() -> None:
    settings = CollectSettings(model="m", prompts=(Path("p"),), by="judge")
    with pytest.raises(InputError, match="judge: required with by: judge, and not given"):
        make_ranker(settings)


def test_a_hardened_model_is_a_policy_of_the_pipeline(model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "h.txt").write_text(HARMFUL)
    (tmp_path / "i.txt").write_text(INNOCENT)
    recipe_file = tmp_path / "recipe.yaml"
    recipe_file.write_text(
        f"model: {model_folder}\n"
        "stages:\n"
        "  hardened:\n"
        "    method: harden\n"
        f"    harmful: {tmp_path / 'h.txt'}\n"
        f"    innocent: {tmp_path / 'i.txt'}\n"
        "    families: typos,role,task,config\n"
        "    held_out_families: role,task,config\n"
        "    tries: 1\n"
        "    target: 1.0\n"
        "    min_comprehension: 0.0\n"
        "    max_tokens: 4\n"
        "    threads: 1\n"
    )
    recipe = read_recipe(recipe_file)
    assert recipe.stages[0].makes_policy
    runner = PipelineRunner(recipe, tmp_path / "out", {**STAGE_FUNCTIONS}, lambda _: None)
    runner.run()
    stage_folder = tmp_path / "out" / "stages" / "hardened"
    assert locate_model(str(stage_folder)) == stage_folder / "model"
    logged: list[str] = []
    PipelineRunner(recipe, tmp_path / "out", {**STAGE_FUNCTIONS}, logged.append).run()
    assert logged == ["hardened: finished before, kept"]
    (stage_folder / "model" / "config.json").write_text("{}")
    assert find_damage(recipe.stages[0], stage_folder) is not None


def test_demonstrations_of_a_teacher_and_of_the_best_of_n_are_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage that is made again after a change pays for nothing twice."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "p.jsonl").write_text("".join(f'{{"prompt": "Is it {n}?"}}\n' for n in range(3)))
    recipe_file = tmp_path / "recipe.yaml"
    with serving() as server:
        text = (
            "model: builtin:sprout\n"
            "stages:\n"
            f"  teacher: {{model: '{server.url}', prompts: {tmp_path / 'p.jsonl'}}}\n"
            "  best:\n"
            "    method: best-of-n\n"
            f"    model: {server.url}\n"
            f"    prompts: {tmp_path / 'p.jsonl'}\n"
            "    judge: one_sentence\n"
            "  sft: {data: [teacher/demonstrations.jsonl, best/demonstrations.jsonl], steps: 1}\n"
        )
        for changed in (text, text.replace("one_sentence", "bullets")):
            recipe_file.write_text(changed)
            recipe = read_recipe(recipe_file)
            runner = PipelineRunner(
                replace(recipe, stages=recipe.stages[:2]),
                tmp_path / "out",
                {**STAGE_FUNCTIONS},
                lambda _: None,
            )
            runner.run()
        assert len(server.requests) == 3 + 12
    assert recipe.stages[2].needs == ("teacher", "best")
    assert len(list(tmp_path.glob("out/stages/*/demonstrations.jsonl"))) == 3
