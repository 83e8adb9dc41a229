from pathlib import Path

import pytest

from upbring.errors import InputError
from upbring.pipeline.recipe import Recipe, read_recipe

RECIPE = """
model: builtin:sprout
defaults: {seed: 3, threads: 1}
stages:
  world: {method: toyworld}
  sft: {data: world/demonstrations.jsonl, epochs: 2}
  reward: {model: sft, data: world/rankings.jsonl}
  dpo: {model: sft, data: world/rankings.jsonl, mix: world/demonstrations.jsonl=0.2}
evaluate: {models: [base, sft, dpo], judge: reward}
gates: {facts: ">= sft - 0.02", sft.over_refusal: "<= 5%"}
"""


CIRCLE = """
model: m
stages:
  world: {method: toyworld}
  a: {method: sft, model: b, data: world/d}
  b: {method: sft, model: a, data: world/d}
"""


def parse_recipe(folder: Path, text: str) -> Recipe:
    file = folder / "recipe.yaml"
    file.write_text(text)
    return read_recipe(file)


def error_message(folder: Path, text: str) -> str:
    with pytest.raises(InputError) as error:
        parse_recipe(folder, text)
    return str(error.value).replace(f"{folder}/", "")


def test_a_pipeline_is_its_stages_in_order_with_their_needs(tmp_path: Path) -> None:
    found = parse_recipe(tmp_path, RECIPE)
    assert [(s.name, s.command) for s in found.stages] == [
        ("world", "toyworld"),
        ("sft", "sft"),
        ("reward", "reward"),
        ("dpo", "dpo"),
    ]
    needs = {step.name: set(step.needs) for step in found.stages}
    assert needs["sft"] == {"world"}
    assert needs["dpo"] == {"world", "sft"}
    sft = found.stages[1].resolved
    assert (sft.settings.model, sft.settings.seed, sft.settings.epochs) == ("base", 3, 2)
    assert sft.origins["epochs"].endswith("recipe.yaml:6")
    assert found.evaluated_models == ("base", "sft", "dpo")
    assert [(gate.model, gate.metric) for gate in found.gates] == [
        ("dpo", "facts"),
        ("sft", "over_refusal"),
    ]


def test_a_file_that_is_no_recipe_is_answered_in_one_line(tmp_path: Path) -> None:
    settings = tmp_path / "axo.yaml"
    settings.write_text("base_model: m\ndatasets: d\nlora_r: 3\n")
    with pytest.raises(InputError) as caught:
        read_recipe(settings)
    assert str(caught.value) == (
        f"{settings}: has no `stages:`, so it is not a recipe; to train with settings in a file "
        f"use `upbring sft --settings {settings}`"
    )
    data = tmp_path / "alpaca.jsonl"
    data.write_text("{}\n")
    with pytest.raises(InputError, match=r"is a data file, .* use `upbring sft .*alpaca\.jsonl`"):
        read_recipe(data)


def test_stages_of_rounds_are_repeated_and_references_mean_the_newest(tmp_path: Path) -> None:
    found = parse_recipe(
        tmp_path,
        """
model: builtin:sprout
stages:
  world: {method: toyworld}
  sft: {data: world/demonstrations.jsonl}
rounds: 2
each_round:
  collect: {model: latest, prompts: world/prompts.jsonl, by: annotators}
  dpo: {model: latest, data: collect/rankings.jsonl}
evaluate:
""",
    )
    needs = {step.name: set(step.needs) for step in found.stages}
    assert list(needs) == ["world", "sft", "collect-1", "dpo-1", "collect-2", "dpo-2"]
    assert needs["collect-1"] == {"sft", "world"}
    assert needs["dpo-1"] == {"sft", "collect-1"}
    assert needs["collect-2"] == {"dpo-1", "world"}
    assert needs["dpo-2"] == {"dpo-1", "collect-2"}
    assert found.evaluated_models == ("base", "sft", "dpo-1", "dpo-2")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stages: {sft: {data: x}}", "recipe.yaml:1: model: required and not given"),
        (
            "model: m\nstage: {}",
            "recipe.yaml:2: stage: unknown key; did you mean stages?",
        ),
        (
            "model: m\nstages:\n  stf: {data: x}",
            "recipe.yaml:3: stf: unknown method 'stf'; did you mean sft?; or set its `method:`",
        ),
        (
            "model: m\nstages:\n  a: {method: dpoo}",
            "recipe.yaml:3: a: unknown method 'dpoo'; did you mean dpo?",
        ),
        (
            "model: m\nstages:\n  sft:\n    data: nowhere.jsonl",
            "recipe.yaml:4: sft.data: 'nowhere.jsonl' not found",
        ),
        (
            "model: m\nstages:\n  world: {method: toyworld}\n  sft: {data: wrld/x.jsonl}",
            "recipe.yaml:4: sft.data: 'wrld/x.jsonl' not found; did you mean world?",
        ),
        (
            CIRCLE,
            "recipe.yaml:5: a.model: stage 'b' comes later; move it up",
        ),
        (
            "model: m\nstages:\n  world: {method: toyworld}\n  sft: {data: world/d, model: sft}",
            "recipe.yaml:4: sft.model: refers to its own stage",
        ),
        (
            "model: m\nstages:\n  world: {method: toyworld}\n  sft: {data: world/d, epoch: 2}",
            "recipe.yaml:4: sft.epoch: no such setting; did you mean sft.epochs?",
        ),
        (
            RECIPE.replace("facts:", "fcts:"),
            "gates.fcts: unknown metric 'fcts'; did you mean facts?",
        ),
        (RECIPE.replace("evaluate:", "#"), "gates: no evaluation to check; add `evaluate:`"),
        ("model: m\nrounds: 0\neach_round: {}", "rounds: give a whole number from 1 to 20"),
        ("model: m\nrounds: 2\nstages: {}", "rounds: no stages to repeat; add `each_round:`"),
        ("model: m", "recipe.yaml:1: stages: no stage found"),
        ("- a", "recipe.yaml:1: not a mapping; write `model:` and `stages:`"),
    ],
)
def test_an_invalid_recipe_is_reported_before_anything_runs(
    tmp_path: Path, text: str, expected: str
) -> None:
    assert expected in error_message(tmp_path, text)


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    text = "model: m\nstages:\n  sft: {data: nowhere, epoch: 1}\n  dpoo: {}\nrounds: x"
    assert len(error_message(tmp_path, text).splitlines()) >= 3


def test_names_of_other_tools_work_in_stages_and_defaults(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text("{}\n")
    data = tmp_path / "d.jsonl"
    text = f"""
model: m
defaults: {{lr: 1e-4, lora_r: 4}}
stages:
  sft: {{dataset: {data}}}
  align: {{method: rlhf, base_model: sft, train_file: {data}, lora_rank: 8, beta: 0.2}}
"""
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    sft, ppo = read_recipe(file).stages
    assert (sft.resolved.settings.learning_rate, sft.resolved.settings.rank) == (1e-4, 4)
    assert (ppo.command, ppo.needs) == ("ppo", ("sft",))
    settings = ppo.resolved.settings
    assert (settings.model, settings.rank, settings.kl_coef) == ("sft", 8, 0.2)
    assert ppo.resolved.origins["model"] == f"{file}:6"
    file.write_text(text.replace("lora_rank: 8", "load_in_4bit: true"))
    _, ppo = read_recipe(file).stages
    assert ppo.resolved.settings.quantization == "nf4"
    file.write_text(text.replace("lora_rank: 8", "bnb_4bit_quant_type: nf4"))
    with pytest.raises(InputError, match=r"recipe.yaml:6: align.bnb_4bit_quant_type: 4-bit weig"):
        read_recipe(file)


@pytest.mark.parametrize("name", ["../../x", "/etc/x", ".", "..", "a/b", "a\\x1b[2Jb", "a\\u202eb"])
@pytest.mark.parametrize("method", ["toyworld", "collect", "sft"])
def test_a_stage_is_named_like_one_plain_folder(tmp_path: Path, name: str, method: str) -> None:
    (tmp_path / "d.jsonl").write_text("{}")
    data = {"toyworld": "", "collect": f", prompts: {tmp_path}/d.jsonl"}
    settings = data.get(method, f", data: {tmp_path}/d.jsonl")
    text = f'model: builtin:sprout\nstages:\n  "{name}": {{method: {method}{settings}}}\n'
    found = error_message(tmp_path, text)
    assert "recipe.yaml:3: " in found
    assert "is not a valid name of a stage; use letters, digits, - and _" in found
    assert found.isprintable()


def test_a_file_that_is_found_from_another_folder_says_which(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "data.jsonl").write_text("{}")
    text = "model: builtin:sprout\nstages:\n  sft: {data: mine/data.jsonl}\n"
    message = error_message(folder, text)
    assert f"paths are relative to the current folder: run it in {tmp_path}" in message
