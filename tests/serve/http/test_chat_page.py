"""The chat page in Chromium."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serve.http.serving import OPEN, SmallServer, make_small_served
from tests.web.served import serving
from upbring.serve.http.api import make_app
from upbring.serve.http.chat_page import CONTENT_SECURITY_POLICY, page_routes
from upbring.votes.store import open_store
from upbring.web.guard import GuardOptions
from upbring.web.server import ServerOptions

playwright = pytest.importorskip(
    "playwright.sync_api", reason="the page is tested where playwright is installed"
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WAIT_MILLISECONDS = 60_000

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def votes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("votes")


@pytest.fixture(scope="module")
def served_page(model_folder: Path, votes: Path) -> Iterator[SmallServer]:
    loaded, served = make_small_served(model_folder)
    options = ServerOptions(
        guard=GuardOptions(
            is_open=True, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY}
        ),
        limits=OPEN.limits,
    )
    served.engine.start()
    try:
        with serving(make_app(served, pages=page_routes(votes)), options=options) as address:
            yield SmallServer(address.address.port, served, loaded)
    finally:
        served.engine.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, served_page: SmallServer) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 390, "height": 780})
    page = context.new_page()
    page.set_default_timeout(WAIT_MILLISECONDS)
    problems: list[str] = []
    page.on("console", lambda each: problems.append(each.text) if each.type == "error" else None)
    page.on("pageerror", lambda each: problems.append(str(each)))
    page.goto(f"http://127.0.0.1:{served_page.port}/")
    page.wait_for_selector("#model option", state="attached")
    page.evaluate("document.querySelector('#max_tokens').value = 12")
    yield page
    context.close()
    refused = "Failed to load resource: the server responded with a status of 400"
    assert [each for each in problems if not each.startswith(refused)] == []


def send(page: Any, text: str) -> None:
    page.fill("#text", text)
    page.press("#text", "Enter")


def wait_for_answers(page: Any, count: int) -> list[str]:
    page.wait_for_selector(f".turn.assistant .tools button >> nth={2 * count - 1}")
    return [each.inner_text() for each in page.query_selector_all(".turn.assistant .body")]


def test_a_dialogue_is_streamed_kept_and_changed(page: Any) -> None:
    send(page, "<b>hello</b>")
    assert len(wait_for_answers(page, 1)) == 1
    assert page.query_selector(".turn.user .body").inner_text() == "<b>hello</b>"
    assert page.query_selector(".turn.user b") is None
    send(page, "again")
    wait_for_answers(page, 2)
    page.reload()
    page.wait_for_selector(".turn.assistant >> nth=1")
    page.click(".turn.assistant >> nth=0 >> text=Regenerate")
    page.wait_for_selector(".turn >> nth=2", state="detached")
    wait_for_answers(page, 1)
    page.click("text=Edit")
    assert page.input_value("#text") == "<b>hello</b>"
    page.click("#new")
    assert page.query_selector(".turn") is None
    page.set_viewport_size({"width": 390, "height": 780})
    overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0


def test_a_choice_between_two_hidden_models_is_a_vote(page: Any, votes: Path) -> None:
    page.click("#open-settings")
    page.fill("#system", "Be kind.")
    page.click("#settings button")
    page.select_option("#rival", "bold")
    send(page, "which?")
    page.wait_for_selector(".votes button")
    shown = page.inner_text("#dialogue")
    assert "bold" not in shown
    assert "small" not in shown
    texts = [each.inner_text() for each in page.query_selector_all(".side > div")]
    page.click("text=Right is better")
    page.wait_for_selector(".notice.good")
    reveal = page.inner_text("#notice")
    with open_store(votes, read_only=True) as store:
        (item,), (vote,) = store.items(), store.votes()
    assert [m.content for m in item.prompt] == ["Be kind.", "which?"]
    assert vote.vote.places == (2, 1)
    left, right = (response.model for response in item.responses)
    assert {left, right} == {"small", "bold"}
    assert reveal == f"Stored. Left was {left}, right was {right}."
    assert len(texts) == len(item.responses) == 2
    assert page.query_selector(".turn.assistant") is not None


def seed_of_an_empty_answer(server: SmallServer, text: str) -> int:
    """Return a seed with which both models end their answer at once."""
    fields = {"messages": [{"role": "user", "content": text}], "max_tokens": 12, "temperature": 0.7}
    for seed in range(2000):
        replies = (
            server.post("/v1/chat/completions", model=model, seed=seed, **fields)
            for model in ("small", "bold")
        )
        if not any(each["choices"][0]["message"]["content"] for each in replies):
            return seed
    raise AssertionError("every answer has a text")


def test_an_empty_answer_is_an_answer(page: Any, served_page: SmallServer) -> None:
    seed = seed_of_an_empty_answer(served_page, "anything?")
    page.evaluate(f"document.querySelector('#seed').value = {seed}")
    send(page, "anything?")
    assert wait_for_answers(page, 1) == ["(an empty answer)"]
    page.select_option("#rival", "bold")
    page.click("text=Regenerate")
    page.wait_for_selector(".votes button")
    assert [each.inner_text() for each in page.query_selector_all(".side p")] == [
        "(an empty answer)"
    ] * 2
    page.click("text=Equal")
    page.wait_for_selector(".notice.good")


def test_an_error_is_shown_and_the_page_goes_on(page: Any) -> None:
    send(page, "word " * 400)
    page.wait_for_selector(".notice.bad")
    assert "context length" in page.inner_text("#notice")
    page.wait_for_function("document.querySelector('#text').value.startsWith('word word')")
    assert page.query_selector(".turn") is None  # or the next message would fail too
    send(page, "hello")
    assert len(wait_for_answers(page, 1)) == 1


def test_dark_and_light_are_the_browsers(browser: Any, served_page: SmallServer) -> None:
    colors = []
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme)
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{served_page.port}/")
        colors.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        context.close()
    assert colors[0] != colors[1]


def spoken(page: Any) -> str:
    return str(page.text_content("#live"))


def focused_id(page: Any) -> str:
    return str(page.evaluate("document.activeElement.id"))


def test_an_answer_is_spoken_once_when_it_is_complete(page: Any) -> None:
    page.evaluate("""() => {
      globalThis.said = [];
      new MutationObserver(() => said.push(live.textContent)).observe(live, { childList: true });
    }""")
    send(page, "hello")
    (answer,) = wait_for_answers(page, 1)
    sent, said = page.evaluate("said")  # and nothing while it is streamed
    assert sent == "Sent."
    assert said.startswith("Answer: ")
    assert said.split()[1] == answer.split()[0]


def test_both_answers_are_spoken_and_nobody_votes_by_typing(page: Any) -> None:
    page.select_option("#rival", "bold")
    send(page, "which?")
    page.wait_for_selector(".votes[role=group] button")
    words = spoken(page)
    assert words.startswith("Both answers are complete. Left: ")
    assert " – Right: " in words
    assert words.endswith("Choose the better one.")
    assert page.evaluate("document.activeElement.textContent") == "Left is better"
    assert page.locator("section.side[aria-label=Left]").count() == 1
    page.click("text=Equal")
    page.wait_for_selector(".notice.good")
    assert focused_id(page) == "text"
    send(page, "and now?")
    page.type("#text", "I go on")
    page.wait_for_selector(".votes button")
    assert focused_id(page) == "text"


def test_the_focus_is_never_lost(page: Any) -> None:
    page.fill("#text", "hello")
    page.focus("#send")
    page.keyboard.press("Enter")  # the button is hidden while the model answers
    wait_for_answers(page, 1)
    assert focused_id(page) == "text"
    page.focus(".turn.assistant >> text=Regenerate")
    page.keyboard.press("Enter")  # the button is gone
    wait_for_answers(page, 1)
    assert focused_id(page) == "text"
    page.focus("#new")
    page.keyboard.press("Enter")
    assert spoken(page) == "New dialogue."
    assert focused_id(page) == "text"
    assert page.inner_text("h1") == "Chat"
