"""A teacher's responses as demonstrations: sequence-level distillation (Kim & Rush 2016)."""

from pathlib import Path

from upbring.runs.results import EvalResult
from upbring.settings.commands.demonstrations import TeacherSettings
from upbring.stages.collection.collect import select_prompts
from upbring.stages.feedback.demonstrations import (
    DemonstrationFiles,
    demonstration,
    sample_responses,
    sampling_provenance,
    sampling_results,
    write_demonstrations,
)
from upbring.stages.feedback.open_models import (
    Log,
    client_of,
    log_usage,
    open_workplace,
    open_writer,
)
from upbring.stages.feedback.planned_calls import PlannedCalls, log_planned_calls, sampling_calls
from upbring.tracking import Track, no_tracking


def collect_from_teacher(
    settings: TeacherSettings,
    folder: Path,
    *,
    log: Log,
    track: Track = no_tracking,
    calls_file: Path | None = None,
) -> DemonstrationFiles:
    """Write a demonstration per distinct response of the teacher.

    Paid replies are kept in `calls_file`, by default in the folder.
    """
    prompts = [prompt for prompt, _ in select_prompts(settings.prompts, settings.limit)]
    with open_workplace(folder, log=log, track=track, calls_file=calls_file) as workplace:
        writer = open_writer(settings, workplace)
        calls = PlannedCalls(sampling_calls(settings, [each.messages for each in prompts]))
        log_planned_calls(settings, calls, writer=writer, log=log)
        sampled, outcomes = sample_responses(settings, prompts, writer, purpose="teacher")
        provenance = {"source": "teacher", **sampling_provenance(settings, writer)}
        rows = [
            demonstration(each, response, provenance)
            for each in sampled
            for response in each.responses
        ]
        kept = [response for each in sampled for response in each.responses]
        template = EvalResult("teacher", settings.model, "", None)
        results = list(sampling_results(outcomes, kept, template))
        log_usage(settings, [client_of(writer)], log)
        return write_demonstrations(folder, rows, results, reasons=outcomes, log=log)
