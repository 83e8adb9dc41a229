from pathlib import Path
from typing import Any

from tests.remote.scripted_server import ScriptedServer
from tests.stages.feedback.conversing import read_rows, settings
from upbring.data.read import formats
from upbring.data.read.records import Demonstration
from upbring.settings.commands.demonstrations import TeacherSettings
from upbring.stages.feedback.teacher import collect_from_teacher


def no_log(_: str) -> None:
    """Log nothing."""


def options(folder: Path, url: str, **changes: Any) -> TeacherSettings:
    prompts = settings(folder, url).prompts
    return TeacherSettings(model=url, prompts=prompts, concurrency=1, **changes)


def test_each_distinct_response_is_a_demonstration_with_its_provenance(
    server: ScriptedServer, tmp_path: Path
) -> None:
    config = options(tmp_path, f"{server.url}#large", num_responses=2, temperature=0.5)
    found = collect_from_teacher(config, tmp_path / "o", log=no_log)
    rows = read_rows(found.demonstrations)
    assert len(rows) == 12
    assert rows[0]["messages"][0] == {"role": "user", "content": "Question 0?"}
    provenance = rows[0]["provenance"]
    assert (provenance["source"], provenance["model"]) == ("teacher", f"{server.url}#large")
    assert (provenance["temperature"], provenance["max_tokens"]) == (0.5, 512)
    assert len(list(formats.read_records(found.demonstrations, Demonstration))) == 12
    results = {each.name: each for each in found.results}
    assert (results["words/kept"].value, results["words/kept"].judge) == (2.0, None)


def test_a_second_run_makes_no_call_and_another_folder_may_share_the_replies(
    server: ScriptedServer, tmp_path: Path
) -> None:
    config, calls = options(tmp_path, server.url), tmp_path / "paid.jsonl"
    first = collect_from_teacher(config, tmp_path / "o", log=no_log, calls_file=calls)
    count = len(server.requests)
    second = collect_from_teacher(config, tmp_path / "p", log=no_log, calls_file=calls)
    assert len(server.requests) == count == 6
    assert first.demonstrations.read_bytes() == second.demonstrations.read_bytes()


def test_what_it_may_cost_is_logged_before_the_first_call(
    server: ScriptedServer, tmp_path: Path
) -> None:
    logged: list[tuple[int, str]] = []
    config = options(tmp_path, server.url, input_price=1.0, output_price=10.0)
    collect_from_teacher(
        config, tmp_path / "o", log=lambda text: logged.append((len(server.requests), text))
    )
    planned = (
        "at most 6 calls, 18 tokens in and 3,072 out, cost 0.03, and stored replies cost nothing"
    )
    assert logged[0] == (0, f"{server.url}: {planned}")
    paid = "6 calls, 60 tokens in and 6 out, cost 0.00; stored replies cost nothing"
    assert (6, f"{server.url}: {paid}") in logged
