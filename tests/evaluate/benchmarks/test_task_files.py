"""A task file that would run code is refused; no code is needed to find out."""

from pathlib import Path

import pytest

from upbring.errors import InputError
from upbring.evaluate.benchmarks.harness import check_tasks
from upbring.evaluate.benchmarks.task_files import reject_task_code


@pytest.fixture
def task(tmp_path: Path) -> Path:
    (tmp_path / "evil.py").write_text("raise SystemExit('code ran')")
    return tmp_path / "task.yaml"


@pytest.mark.parametrize(
    "text",
    [
        "task: x\nprocess_docs: !function evil.run\n",
        "task: x\nmetric_list: [{metric: !function evil.run}]\n",
        "task: x\nclass: !function evil.Task\n",
        "a: &a !!python/name:os.system\n".replace("!!", "!"),
    ],
)
def test_a_tag_that_runs_code_is_refused_with_its_line(task: Path, text: str) -> None:
    task.write_text(text)
    with pytest.raises(InputError, match=r"task\.yaml:[12]: the tag '!.+' runs Python code"):
        reject_task_code(task)
    with pytest.raises(InputError, match="allow it with --allow-task-code"):
        check_tasks([str(task)])


def test_included_files_are_searched_too_even_in_a_circle(task: Path) -> None:
    task.write_text("task: x\ninclude: other.yaml\n")
    other = task.with_name("other.yaml")
    other.write_text("include: [task.yaml]\nx: 1\n")
    reject_task_code(task)
    other.write_text("include: task.yaml\nx: !function evil.run\n")
    with pytest.raises(InputError, match=r"other\.yaml:2"):
        reject_task_code(task)


def test_ordinary_tasks_are_accepted_and_unreadable_ones_named(task: Path) -> None:
    task.write_text("task: x\ndataset_path: json\ndoc_to_text: '{{question}}'\n")
    reject_task_code(task)
    task.write_text("task: [")
    with pytest.raises(InputError, match=r"task\.yaml: cannot be read as YAML"):
        reject_task_code(task)
