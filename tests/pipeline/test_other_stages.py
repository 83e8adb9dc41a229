import json
from pathlib import Path

import pytest

from upbring.data.read.records import Message
from upbring.errors import InputError
from upbring.pipeline.other_stages import (
    SimulatedRanker,
    collect_rankings,
    make_ranker,
    write_toyworld,
)
from upbring.pipeline.runner import WaitingError
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
    with pytest.raises(WaitingError, match=r"open .*rank\.html in a browser"):
        collect_rankings(Resolved(settings, {}), tmp_path / "c", lambda _: None)


def test_a_judge_must_be_named() -> None:
    settings = CollectSettings(model="m", prompts=(Path("p"),), by="judge")
    with pytest.raises(InputError, match="judge: required with by: judge, and not given"):
        make_ranker(settings)
