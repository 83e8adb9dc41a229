"""`upbring label` end to end: responses, store, page, simulated annotators.

    labels/
      votes.db           the votes (`upbring.votes`)
      responses.jsonl    generated responses, appended while people vote
      generate.log       output of the process that generates them

This process serves the page and loads no model; a child process generates responses.
"""

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from upbring import durable
from upbring.errors import InputError
from upbring.feedback.labeling.access import Access
from upbring.feedback.labeling.app import LabelApi, label_app, server_options
from upbring.feedback.labeling.overview import ROUTES
from upbring.plurals import format_count
from upbring.settings.commands.label import LabelSettings
from upbring.stages.collection.people import OVERLAP_NAME, stored_overlap
from upbring.stages.collection.response_file import RESPONSES_FILE, GrowingFile, read_items
from upbring.votes.assignment import AssignmentRules
from upbring.votes.store import STORE_FILE, VoteStore, open_store
from upbring.web.guard import LOOPBACK_HOSTS, WebAddress
from upbring.web.server import bind_socket, make_server

LOG_FILE = "generate.log"
POLL_SECONDS = 0.5
CHILD = "upbring.stages.collection.generate_ahead"

Log = Callable[[str], None]


@dataclass(eq=False)
class LabelServer:
    """A running server: its address, its API, and what is still generated."""

    api: LabelApi
    store: VoteStore
    address: WebAddress
    feed: "ResponseFeed"
    wait: Callable[[], None]  # until Ctrl-C
    stop: Callable[[], None]


@dataclass(eq=False)
class ResponseFeed:
    """Moves generated responses from the growing file into the store, in a thread."""

    store: VoteStore
    file: GrowingFile
    child: "subprocess.Popen[str] | None" = None
    log: Log = lambda _: None
    problem: str = ""
    _stopping: threading.Event = field(default_factory=threading.Event)
    _is_done: bool = False

    def is_growing(self) -> bool:
        """Whether more items may come."""
        return not self._is_done

    def run(self) -> None:
        """Add items until the child has ended and everything is read."""
        try:
            while not self._stopping.wait(POLL_SECONDS if self.child else 0.0):
                has_ended = self.child is None or self.child.poll() is not None
                items = [item for item in self.file.read_new() if len(item.responses) > 1]
                self.store.add_items(items)
                if has_ended:
                    self._report_end()
                    return
        except InputError as error:
            self.log(str(error))
            self.problem = str(error)
        finally:
            self._is_done = True

    def stop(self) -> None:
        """Stop reading."""
        self._stopping.set()

    def _report_end(self) -> None:
        if self.child is not None and self.child.returncode:
            self.problem = (
                f"{self.store.path.parent / LOG_FILE}: generating responses stopped (exit code "
                f"{self.child.returncode}); see its last line. What was generated can be ranked"
            )
            self.log(self.problem)


@contextlib.contextmanager
def label_server(settings: LabelSettings, *, log: Log) -> Iterator[LabelServer]:
    """Open the store, start generating, and serve the page until the block ends."""
    check_label_settings(settings)
    overlap = settings.overlap or stored_overlap(settings.to) or 1
    rules = AssignmentRules(overlap, settings.repeat_every, settings.gold_every, seed=settings.seed)
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(open_store(settings.to, rules=rules, warn=log))
        store.set_setting(OVERLAP_NAME, str(overlap))
        if settings.responses is not None:
            store.add_items([*read_items(settings.responses)])
        child = stack.enter_context(_generating(settings)) if settings.do else None
        feed = ResponseFeed(store, GrowingFile(settings.to / RESPONSES_FILE), child, log)
        if not store.items() and child is None and not (settings.to / RESPONSES_FILE).exists():
            raise InputError(
                f"{settings.to}: there is nothing to rank; pass a file of prompts and --models, or "
                "--responses FILE"
            )
        api = LabelApi(store, Access(store, owner_name=settings.name), feed.is_growing)
        options = server_options(api, host=settings.host)
        listener = stack.enter_context(bind_socket(settings.port, host=settings.host))
        server, address = make_server(label_app(api, ROUTES), listener, options=options)
        stack.enter_context(_thread(feed.run, feed.stop))

        def wait() -> None:
            with contextlib.suppress(KeyboardInterrupt):  # the normal exit
                server.run(sockets=[listener])

        def stop() -> None:
            server.should_exit = True

        yield LabelServer(api, store, address, feed, wait, stop)


def check_label_settings(settings: LabelSettings) -> None:
    """Raise if the settings do not fit together."""
    if settings.do and not settings.models:
        raise InputError("--models: name the models that answer the prompts")
    if settings.models and not settings.do:
        raise InputError("label: --models need prompts; name a file of prompts first")
    if settings.responses is not None and settings.do:
        raise InputError("--responses: has the responses already; leave the prompts out")
    for path in map(Path, settings.do):
        if not path.is_file():
            raise InputError(f"{path}: there is no such file; name a file of prompts")


def describe_address(address: WebAddress, settings: LabelSettings) -> str:
    """Return what the terminal prints: the address, and who can reach it."""
    if settings.host in LOOPBACK_HOSTS:
        reach = "Only reachable from this machine, with this key."
    else:
        reach = (
            "WARNING: other computers reach this page, without encryption: who can read the "
            "network can read the votes and the key. Use it only in a network that you trust."
        )
    return f"{settings.to}: open {address.url}\n{reach} Stop with Ctrl-C; votes are kept."


def summary(store: VoteStore) -> str:
    """Return how many votes there are, as text."""
    votes = store.votes()
    items = store.items()
    names = {vote.annotator.name for vote in votes}
    return (
        f"{store.path.with_name(STORE_FILE)}: {format_count(len(votes), 'vote')} by "
        f"{format_count(len(names), 'annotator')} on "
        f"{format_count(len({vote.item_id for vote in votes}), 'item', total=len(items))}"
    )


@contextlib.contextmanager
def _generating(settings: LabelSettings) -> Iterator["subprocess.Popen[str]"]:
    """Run the child process; it ends when the block ends or this process dies."""
    path = settings.to / LOG_FILE
    with durable.explain_os_errors(path), path.open("w", encoding="utf-8") as log_file:
        child = _start_child(settings, log_file)
        try:
            assert child.stdin is not None, "a pipe"
            child.stdin.write(settings.model_dump_json() + "\n")
            child.stdin.flush()
            yield child
        finally:
            child.kill()
            child.communicate()


def _start_child(settings: LabelSettings, log_file: IO[str]) -> "subprocess.Popen[str]":
    words = [sys.executable, "-m", CHILD, str(settings.to)]
    return subprocess.Popen(  # noqa: S603 -- this Python with a module of this package
        words, stdin=subprocess.PIPE, stdout=log_file, stderr=log_file, text=True
    )


@contextlib.contextmanager
def _thread(run: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join()


def wait_until_answering(server: LabelServer, *, seconds: float = 30.0) -> None:
    """Return when the server accepts requests; it runs in another thread."""
    import socket  # noqa: PLC0415 -- only for simulations

    host = server.address.names[0].strip("[]")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection((host, server.address.port), timeout=1).close()
            return
    raise InputError("the server does not answer; try again")
