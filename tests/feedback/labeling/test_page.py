"""The page in a real browser, without a single mouse event unless a test is about the mouse."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import IS_NIGHTLY
from tests.feedback.labeling.browsers import chromium
from tests.feedback.labeling.served_labels import Labeling, labeling
from tests.feedback.labeling.xss import TEXTS
from tests.votes.stored import new_item
from upbring.data.read.records import Message
from upbring.votes.assignment import AssignmentRules
from upbring.votes.records import LabelResponse, NewItem

BOXES = """() => [document.documentElement, ...document.querySelectorAll(
    "button, a.button, input[type=text], .places label")]
  .filter((each) => each.checkVisibility())
  .map((each) => each.getBoundingClientRect()).map(({ x, width, height }) => [x, width, height])"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@contextmanager
def opened(browser: Any, served: Labeling, **options: Any) -> Iterator[Any]:
    """Open the page of the owner; every request must go to the server itself."""
    context = browser.new_context(**options)
    page = context.new_page()
    foreign: list[str] = []
    home = f"http://127.0.0.1:{served.address.port}/"
    context.on("request", lambda sent: sent.url.startswith(home) or foreign.append(sent.url))
    page.on("pageerror", lambda error: foreign.append(str(error)))
    page.goto(served.address.url)
    page.wait_for_selector(".card, #empty h2")
    yield page
    context.close()
    assert foreign == []


def press(page: Any, keys: str) -> None:
    for key in keys.split():
        page.keyboard.press(key)


def wait_for_count(page: Any, count: int) -> None:
    page.wait_for_selector(f"#count:has-text('{count} of')")


def ranked_as_shown(served: Labeling) -> list[list[int] | None]:
    """Return the places of each vote from the top of the page to its bottom."""
    return [
        None if vote.vote.places is None else [vote.vote.places[n] for n in vote.order]
        for vote in served.store.votes()
    ]


def test_items_are_ranked_with_digits_and_enter(browser: Any, tmp_path: Path) -> None:
    with labeling(tmp_path, 3) as served, opened(browser, served) as page:
        press(page, "2 1")
        assert "Response B: place 1 of 4" in page.inner_text("#live")
        page.reload()  # midway: what was given stays
        page.wait_for_selector(".card")
        press(page, "2 4 Enter")
        wait_for_count(page, 1)
        assert page.inner_text("#live").startswith("Saved.")
        press(page, "ArrowDown 1 Backspace")  # the focus went on to the next one without a place
        press(page, "Shift+ArrowUp Shift+ArrowDown Shift+ArrowDown")
        assert "place 3 of 4" in page.inner_text("#live")
        press(page, "ArrowUp ArrowUp ArrowUp 1 2 Enter")
        wait_for_count(page, 2)
        press(page, "x")
        page.wait_for_selector("#empty h2:has-text('All done')")
        assert ranked_as_shown(served)[:2] == [[2, 1, 2, 3], [2, 1, 3, 1]]
        assert [vote.vote.outcome for vote in served.store.votes()][2] == "cannot_say"


def test_an_untouched_order_is_never_a_vote(browser: Any, tmp_path: Path) -> None:
    with labeling(tmp_path, 2) as served, opened(browser, served) as page:
        press(page, "Enter 1 Enter Control+Enter")
        assert "without one: B, C, D" in page.inner_text("#notice")
        page.locator("#submit").click(force=True)
        press(page, "s")
        page.wait_for_selector("#notice", state="hidden")
        press(page, "b Enter")  # all bad: equally bad unless ranked
        page.wait_for_selector("#empty h2")
        skipped, bad = served.store.votes()
        assert (skipped.vote.outcome, skipped.vote.places) == ("skipped", None)
        assert (bad.vote.all_bad, bad.vote.places) == (True, (1, 1, 1, 1))


def test_pairs_take_one_key_and_undo_brings_them_back(browser: Any, tmp_path: Path) -> None:
    items = [new_item(number, num_responses=2) for number in range(3)]
    with labeling(tmp_path, items) as served, opened(browser, served) as page:
        for count, keys in enumerate(("ArrowLeft", "Enter ArrowRight", "b Enter"), start=1):
            press(page, keys)
            wait_for_count(page, count)
        assert ranked_as_shown(served) == [[1, 2], [2, 1], [1, 1]]
        assert [vote.vote.all_bad for vote in served.store.votes()] == [False, False, True]
        press(page, "u")
        wait_for_count(page, 2)
        press(page, "ArrowRight")
        wait_for_count(page, 3)
        assert ranked_as_shown(served)[2] == [2, 1]


def test_keys_do_nothing_in_text_fields(browser: Any, tmp_path: Path) -> None:
    with labeling(tmp_path, 1) as served, opened(browser, served) as page:
        press(page, "c")
        page.keyboard.type("1 s x 2 good?")
        press(page, "Escape f Space")
        press(page, "e")
        page.keyboard.type(" and more")
        press(page, "Escape 1 1 1 1 Control+Enter")
        page.wait_for_selector("#empty h2")
        (vote,) = served.store.votes()
        first = vote.order[0]
        assert vote.vote.comment == "1 s x 2 good?"
        assert vote.vote.edited_response == first
        assert vote.vote.demonstration == f"response {first} to 0 and more"
        assert [(flag.response, flag.reason) for flag in vote.vote.flags] == [(first, "harmful")]


def test_a_vote_given_offline_is_stored_once(browser: Any, tmp_path: Path) -> None:
    with labeling(tmp_path, 2) as served, opened(browser, served) as page:
        page.context.set_offline(True)
        press(page, "1 2 3 4 Enter")
        page.wait_for_selector("#notice:has-text('Your vote is kept')")
        press(page, "Enter x")  # nothing more is sent meanwhile
        page.context.set_offline(False)
        wait_for_count(page, 1)
        assert page.is_hidden("#notice")
        assert len(served.store.votes()) == 1


def test_a_kept_vote_is_sent_when_the_page_opens_again(browser: Any, tmp_path: Path) -> None:
    with labeling(tmp_path, 2) as served, opened(browser, served) as page:
        page.route("**/api/vote", lambda route: route.abort())
        press(page, "4 3 2 1 Enter")
        page.wait_for_selector("#notice:has-text('Your vote is kept')")
        page.unroute("**/api/vote")
        page.reload()
        wait_for_count(page, 1)
        assert ranked_as_shown(served) == [[4, 3, 2, 1]]


def test_a_second_tab_and_the_back_button_show_what_is_left(browser: Any, tmp_path: Path) -> None:
    with labeling(tmp_path, 3) as served, opened(browser, served) as page:
        second = page.context.new_page()
        second.goto(page.url)
        second.wait_for_selector(".card")
        press(second, "1 2 3 4 Enter")
        wait_for_count(second, 1)
        press(page, "4 3 2 1 Enter")
        page.wait_for_selector("#notice:has-text('Not saved: this item is done')")
        wait_for_count(page, 1)
        page.goto(page.url + "annotator")
        page.go_back()
        page.wait_for_selector(".card")
        press(page, "1 1 1 1 Enter")
        wait_for_count(page, 2)
        assert ranked_as_shown(served) == [[1, 2, 3, 4], [1, 1, 1, 1]]


def test_a_vote_survives_half_a_minute_offline(browser: Any, tmp_path: Path) -> None:
    """The clock of the page is turned on by half a minute, second by second."""
    with labeling(tmp_path, 2) as served, opened(browser, served) as page:
        sent: list[str] = []
        page.on("request", lambda request: sent.append(request.url.rpartition("/")[2]))
        page.clock.install()
        page.context.set_offline(True)
        press(page, "1 2 3 4 Enter")
        page.clock.run_for(1000)  # the choice is shown for a moment before it is sent
        page.wait_for_selector("#notice:has-text('Your vote is kept')")
        for _ in range(30):
            page.clock.run_for(1000)
            page.evaluate("() => fetch('/static/label.css').catch(() => 0)")  # what waits goes on
        assert 4 <= sent.count("vote") <= 8  # after 1, 2, 4, 8 and 10 seconds
        assert page.is_visible("#notice")
        assert served.store.votes() == []
        page.context.set_offline(False)  # sent at once, not at the next turn
        page.clock.run_for(10)
        wait_for_count(page, 1)
        assert ranked_as_shown(served) == [[1, 2, 3, 4]]


def test_responses_are_dragged_to_places_by_touch(browser: Any, tmp_path: Path) -> None:
    phone = {"has_touch": True, "viewport": {"width": 400, "height": 900}}
    with labeling(tmp_path, 1) as served, opened(browser, served, **phone) as page:
        fingers = page.context.new_cdp_session(page)

        def touch(kind: str, *points: tuple[float, float]) -> None:
            places = [{"x": x, "y": y} for x, y in points]
            fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

        for index, place in enumerate((2, 1, 1, 4)):
            page.locator(f"#name-{index}").scroll_into_view_if_needed()
            (x, y), (to_x, to_y) = (
                middle_of(page, each) for each in (f"#name-{index}", f".slot[data-place='{place}']")
            )
            scrolled = page.evaluate("scrollY")
            touch("touchStart", (x, y))
            for step in (0.25, 0.5, 0.75, 1.0):
                touch("touchMove", (x + step * (to_x - x), y + step * (to_y - y)))
            touch("touchEnd")
            assert page.evaluate("scrollY") == scrolled  # the finger drags, and does not scroll
        page.tap("#submit")
        page.wait_for_selector("#empty h2")
        assert ranked_as_shown(served) == [[2, 1, 1, 3]]


def middle_of(page: Any, selector: str) -> tuple[float, float]:
    box = page.locator(selector).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_responses_are_dragged_to_places(browser: Any, tmp_path: Path) -> None:
    with labeling(tmp_path, 1) as served, opened(browser, served) as page:
        for index, place in enumerate((2, 1, 1, 4)):
            page.locator(f"#name-{index}").scroll_into_view_if_needed()
            page.mouse.move(*middle_of(page, f"#name-{index}"))
            page.mouse.down()
            page.mouse.move(*middle_of(page, f".slot[data-place='{place}']"), steps=4)
            page.mouse.up()
        page.click("#submit")
        page.wait_for_selector("#empty h2")
        assert ranked_as_shown(served) == [[2, 1, 1, 3]]


@pytest.mark.parametrize(
    "bypass_csp",
    [
        True,
        pytest.param(
            False, marks=pytest.mark.skipif(not IS_NIGHTLY, reason="nightly: the same with policy")
        ),
    ],
)  # the policy is a second defence, so the page is safe without it too
def test_no_text_is_ever_run(browser: Any, tmp_path: Path, *, bypass_csp: bool) -> None:
    assert len(TEXTS) >= 150
    groups = [TEXTS[start : start + 9] for start in range(0, len(TEXTS) - 1, 9)]
    items = [
        NewItem((Message("user", texts[0]),), tuple(map(LabelResponse, texts)))
        for texts in groups
        if len(texts) > 2
    ]
    found: list[str] = []
    rules = AssignmentRules(overlap=2)
    with (
        labeling(tmp_path, items, rules=rules) as served,
        opened(browser, served, bypass_csp=bypass_csp) as page,
    ):
        page.on("dialog", lambda dialog: (found.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda sent: "hacked" in sent.url and found.append(sent.url))
        for count in range(1, len(items) + 1):
            for key in ("d", "r", "r"):  # differences, raw, and back
                page.keyboard.press(key)
            tags = "script, img, svg, iframe, object, embed, link, style, a, form, video, template"
            assert page.locator(f"#work :is({tags}):not(#more *)").count() == 0
            press(page, "c")
            page.keyboard.insert_text(TEXTS[count])
            press(page, "Escape b Control+Enter")
            page.wait_for_selector(f"#count:has-text('{count} of'), #empty h2")
        for name in TEXTS[:8]:
            served.store.add_annotator(name[:80])
        page.goto(page.url + "overview")
        page.wait_for_selector("#annotators tr:nth-child(5)")
        assert [vote.vote.comment for vote in served.store.votes()] == [*TEXTS[1 : count + 1]]
    assert found == []


def test_pages_work_at_360_pixels_and_200_percent(browser: Any, tmp_path: Path) -> None:
    items = [new_item(0, num_responses=9)]
    for width, height in ((360, 740), (640, 400)):  # 640 × 400 is 1280 × 800 at 200 %
        size = {"width": width, "height": height}
        folder = tmp_path / str(width)
        with (
            labeling(folder, items) as served,
            opened(browser, served, viewport=size, bypass_csp=True) as page,
        ):
            for path in ("", "overview", "annotator"):
                page.goto(f"http://127.0.0.1:{served.address.port}/{path}")
                page.wait_for_selector(".card, #annotators tr, #measures tr")
                boxes = page.evaluate(BOXES)
                assert len(boxes) > 3 or path == "annotator"
                for x, box_width, box_height in boxes:
                    assert x >= 0
                    assert x + box_width <= width
                    assert min(box_width, box_height) >= 24  # WCAG 2.2, 2.5.8


def test_every_control_is_reached_with_tab_and_has_a_name(browser: Any, tmp_path: Path) -> None:
    with labeling(tmp_path, 1) as served, opened(browser, served) as page:
        tree = page.locator("body").aria_snapshot()
        assert not re.search(r"- (button|radio|checkbox|textbox|link)(:|$)", tree, re.MULTILINE)
        page.keyboard.press("?")
        page.wait_for_selector("#help-dialog[open]")
        press(page, "Escape")
        reached = set()
        for _ in range(60):
            press(page, "Tab")
            focused = page.locator(":focus")
            reached.add(focused.get_attribute("id") if focused.count() else None)
        assert {"undo", "help", "view", "differences", "raw", "all-bad", "cannot-say"} <= reached
        assert {"skip", "submit", "flag-0", "flag-3"} <= reached
