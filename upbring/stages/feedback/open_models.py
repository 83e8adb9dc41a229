"""What a collection of feedback works with: its folder, who writes and who judges.

The paid replies, sampled texts and judgments are in one file of the folder, so that a second run
asks nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from upbring import durable
from upbring.data.read.records import Message
from upbring.errors import Interrupted
from upbring.interruption import Interruption
from upbring.judge.endpoint_judge import DecisionJudge, EndpointJudge
from upbring.judge.judgment import Judge, JudgeQuestion, Judgment
from upbring.judge.local_judge import LocalJudge
from upbring.remote.address import is_url
from upbring.remote.client import Client
from upbring.remote.usage import Prices
from upbring.settings.commands.demonstrations import BestOfNSettings, TeacherSettings
from upbring.settings.constitution import ConstitutionSettings
from upbring.settings.judge import ServerSettings
from upbring.stages.evaluation.judges import JudgeOptions, make_named_judge
from upbring.stages.feedback.stored_judge import StoredJudge
from upbring.stages.feedback.writers import LocalWriter, RemoteWriter, WriteRequest, make_writer
from upbring.stages.open_client import CALLS_FILE, call_limits, open_calls
from upbring.tracking import Track, no_tracking

Log = Callable[[str], None]
JudgedSettings = ConstitutionSettings | BestOfNSettings


@dataclass(frozen=True)
class Workplace:
    """The stored replies of a folder, and how its work is watched and stopped."""

    folder: Path
    rows: durable.KeyedRows
    log: Log
    poll: Callable[[], None]
    track: Track


@contextmanager
def open_workplace(
    folder: Path, *, log: Log, track: Track = no_tracking, calls_file: Path | None = None
) -> Iterator[Workplace]:
    """Lock a folder and open its stored replies, which are in `calls_file` if it is given."""
    with durable.explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with durable.lock(folder), Interruption() as interruption:
        poll = partial(_stop_if_interrupted, interruption, folder)
        yield Workplace(folder, open_calls(calls_file or folder / CALLS_FILE), log, poll, track)


def open_writer(
    settings: JudgedSettings | TeacherSettings, workplace: Workplace
) -> LocalWriter | RemoteWriter:
    """Return who writes; a model is loaded when its first text is missing."""
    return make_writer(
        settings,
        workplace.rows,
        max_tokens=settings.max_tokens,
        limits=call_limits(settings),
        log=workplace.log,
        poll=workplace.poll,
        track=workplace.track,
    )


def open_judge(
    settings: JudgedSettings, workplace: Workplace, writer: LocalWriter | RemoteWriter
) -> Judge:
    """Return who judges: the judge of the settings, or else the model that writes."""
    name = settings.judge or settings.model
    options = JudgeOptions(
        settings,
        workplace.rows,
        call_limits(settings),
        settings.judge_samples,
        settings.reasoning,
        workplace.log,
        workplace.poll,
        workplace.track,
        client_of(writer) if name == settings.model else None,
    )
    judge: Judge = make_named_judge(name, options)
    if isinstance(writer, LocalWriter) and name == settings.model:
        judge = _SelfJudge(writer, judge.identity, settings.reasoning)
    return judge if is_url(name) else StoredJudge(judge, workplace.rows, workplace.track)


@dataclass
class _SelfJudge:
    """The model that wrote the responses as their judge, loaded once."""

    writer: LocalWriter
    identity: str
    has_reasoning: bool

    @property
    def name(self) -> str:
        """The model's name."""
        return self.writer.name

    def judge(self, questions: Sequence[JudgeQuestion]) -> list[Judgment]:
        """Return the judgment of each question."""
        local = self.writer.load()
        generate = local.generate if self.has_reasoning else None
        inner = LocalJudge(
            self.name, self.identity, local.model, local.chat, generate, self.writer.poll
        )
        return inner.judge(questions)


def own_responses(
    settings: JudgedSettings, judge: Judge, writer: LocalWriter | RemoteWriter
) -> Callable[[Sequence[tuple[Message, ...]]], list[str]] | None:
    """Return who writes the judge's own responses to gold prompts; None if it writes none."""
    if judge.name != writer.name:
        return None

    def write(prompts: Sequence[tuple[Message, ...]]) -> list[str]:
        greedy = settings.model_copy(update={"temperature": 0.0, "stop": ()})
        request = WriteRequest(prompts, [0] * len(prompts), greedy, "own responses")
        return [each.text for each in writer.write(request)]

    return write


def client_of(model: LocalWriter | RemoteWriter | Judge | None) -> Client | None:
    """Return the client of a writer or judge behind a server."""
    if isinstance(model, RemoteWriter | EndpointJudge | DecisionJudge):
        return model.client
    return None


def log_usage(settings: ServerSettings, clients: Sequence[Client | None], log: Log) -> None:
    """Log what was paid for."""
    prices = Prices(settings.input_price, settings.output_price)
    for client in dict.fromkeys(clients):  # a server may write and judge
        if client is not None:
            log(f"{client.name}: {client.usage.text(prices)}; stored replies cost nothing")


def _stop_if_interrupted(interruption: Interruption, folder: Path) -> None:
    if interruption.is_requested:
        raise Interrupted(
            f"stopped; what was written and judged so far is in {folder}; run the same command to "
            "continue",
            signal_number=interruption.signal_number or 2,
        )
