"""Runs `upbring serve`: loads the models and serves them until Ctrl-C."""

import secrets

from upbring.model.load import load
from upbring.serve.engine.own_thread import call_in_own_thread
from upbring.serve.http.api import make_app
from upbring.serve.http.chat_page import CONTENT_SECURITY_POLICY, page_routes
from upbring.serve.http.served_models import ServedModels
from upbring.serve.server_models import (
    ServerLimits,
    make_served_models,
    read_adapters,
    served_name,
)
from upbring.settings.commands.serve import ServeSettings
from upbring.settings.resolve import Resolved
from upbring.terminal import Console
from upbring.train import devices
from upbring.train.progress import make_log
from upbring.train.work_progress import make_tracker
from upbring.web.guard import LOOPBACK_HOSTS, GuardOptions, WebAddress
from upbring.web.request_limits import RequestLimits
from upbring.web.server import ServerOptions, serve

MAX_CONNECTIONS = 1024
IDLE_SECONDS = 75.0  # a client keeps its connection for the next request
MAX_REQUEST_SECONDS = 3600.0  # a long response is streamed for as long as that
REQUESTS_PER_SECOND = 2000.0


def run(resolved: Resolved[ServeSettings]) -> None:
    """Load the model and serve until Ctrl-C."""
    settings = resolved.settings
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    served = call_in_own_thread(lambda: _load(settings, console))
    served.engine.start()
    try:
        serve(
            make_app(served, pages=page_routes(settings.votes)),
            port=settings.port,
            on_ready=lambda address: _print_address(console, served, settings, address),
            options=make_options(settings),
        )
    finally:
        served.engine.stop()
    console.print("closed")


def make_options(settings: ServeSettings) -> ServerOptions:
    """Return who may use the server, and its limits."""
    is_open = settings.api_key is None and settings.host in LOOPBACK_HOSTS
    key = settings.api_key

    def identify(token: str) -> str | None:
        if key is not None and secrets.compare_digest(token.encode(), key.encode()):
            return "key"
        return None

    return ServerOptions(
        host=settings.host,
        guard=GuardOptions(
            headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY},
            identify=identify,
            public_paths=frozenset({"/health"}),
            is_open=is_open,
        ),
        limits=RequestLimits(per_second=REQUESTS_PER_SECOND, burst=int(REQUESTS_PER_SECOND)),
        max_connections=MAX_CONNECTIONS,
        idle_seconds=IDLE_SECONDS,
        max_request_seconds=MAX_REQUEST_SECONDS,
    )


def _load(settings: ServeSettings, console: Console) -> ServedModels:
    log, track = make_log(console), make_tracker(console)
    adapters = read_adapters(settings.adapter)
    machine = devices.prepare(settings)
    loaded = load(
        settings.model,
        device=machine.device,
        compute_dtype=machine.compute_dtype,
        quantization=settings.quantization,
        log=log,
        track=track,
    )
    limits = ServerLimits(
        settings.max_num_seqs, settings.max_queue, settings.max_model_len, machine.threads
    )
    name = settings.served_model_name or served_name(settings.model)
    return make_served_models(loaded, name, adapters, limits=limits, log=log)


def _print_address(
    console: Console, served: ServedModels, settings: ServeSettings, address: WebAddress
) -> None:
    is_local = settings.host in LOOPBACK_HOSTS
    has_key = settings.api_key is not None or not is_local
    url = f"http://{address.names[0]}:{address.port}"
    console.print(
        f"serving {', '.join(served.by_name)} · context length {served.engine.max_length:,}"
    )
    console.print(f"API {url}/v1 · chat {address.url if has_key else url + '/'}")
    if not is_local and settings.api_key is None:
        console.print(f"key {address.token}")
    console.print("Stop with Ctrl-C.")
