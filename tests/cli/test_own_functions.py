"""A recipe with a reward function, a metric of the user and a gate on it."""

import json
from pathlib import Path

from tests.commands import done, prepare, upbring

RECIPE = """
model: m
stages:
  rl:
    method: grpo
    prompts: [math.jsonl]
    reward_function: [functions.py:brief=0.5, same_number]
    steps: 2
    batch_size: 2
    num_generations: 2
    max_response_length: 4
    eval_prompts: 2
    dtype: float32
    threads: 1
evaluate:
  models: [base, rl]
  data: [other.jsonl]
  suite: [custom]
  metric_function: [functions.py:brief, same_number]
  max_tokens: 4
  threads: 1
gates:
  custom/brief: ">= 0"
"""
CODE = """
def brief(response, row):
    assert row["question"]
    return 1 / (1 + len(response))
"""


def pipeline_folder(folder: Path) -> Path:
    (found,) = (folder / "runs").glob("recipe-*")
    return found


def stage_state(folder: Path) -> str:
    record = json.loads((pipeline_folder(folder) / "stages/rl/run.json").read_text())
    return str(record["started_at"])


def test_a_recipe_trains_on_measures_and_gates_functions_of_the_user(tmp_path: Path) -> None:
    folder = prepare(tmp_path)
    rows = [{"question": f"{n} plus 2?", "answer": f"#### {n + 2}"} for n in range(24)]
    (folder / "math.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    others = [{"question": f"{n} plus 3?", "answer": f"#### {n + 3}"} for n in range(24)]
    (folder / "other.jsonl").write_text("".join(json.dumps(row) + "\n" for row in others))
    (folder / "recipe.yaml").write_text(RECIPE)
    answer = upbring(folder, "run", "recipe.yaml")
    assert answer.code == 2
    assert "rl.reward_function: 'functions.py' not found" in answer.err
    (folder / "functions.py").write_text(CODE)
    answer = done(folder, "run", "recipe.yaml")
    assert "gate custom/brief >= 0: passed" in " ".join((answer.out + answer.err).split())
    page = (pipeline_folder(folder) / "report.html").read_text()
    assert "Your own metrics" in page
    assert "same number" in page
    first = stage_state(folder)
    done(folder, "run", "recipe.yaml")
    assert stage_state(folder) == first
    (folder / "functions.py").write_text(CODE + "\n# another version\n")
    done(folder, "run", "recipe.yaml")
    assert stage_state(folder) != first
