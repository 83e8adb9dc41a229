"""What a screen reader gets from the pages: names, live texts and where the focus is.

Checked with Orca 43: while it reads, digits and letters are its own ("1" is the next heading); its
focus mode passes them on. A reader may leave that mode when the focus goes to a card, which is no
form control, so that digits go from radio button to radio button.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.feedback.labeling.browsers import chromium
from tests.feedback.labeling.served_labels import labeling
from tests.feedback.labeling.test_page import opened, press, ranked_as_shown, wait_for_count
from tests.votes.stored import new_item


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


def spoken(page: Any) -> str:
    return str(page.text_content("#live"))


def test_digits_on_places_go_on_to_the_next_places(browser: Any, tmp_path: Path) -> None:
    with labeling(tmp_path, 2) as served, opened(browser, served) as page:
        page.focus("[name=place-0]")
        for index, digit in enumerate("2212"):
            assert page.evaluate("document.activeElement.name") == f"place-{index}"
            press(page, digit)
        assert spoken(page) == "Response D: place 2 of 4, tied with A and B"
        assert page.evaluate("document.activeElement.id") == "submit"
        press(page, "Enter")
        wait_for_count(page, 1)
        assert ranked_as_shown(served) == [[2, 2, 1, 2]]


def test_a_radio_button_says_its_place_and_the_page_only_ties(browser: Any, tmp_path: Path) -> None:
    with labeling(tmp_path, 1) as served, opened(browser, served) as page:
        page.focus("[name=place-0]")
        page.evaluate("document.querySelector('#live').textContent = ''")
        press(page, "Space")
        assert spoken(page) == ""
        page.focus("[name=place-1]")
        press(page, "Space")
        assert spoken(page) == "Response B: place 1 of 4, tied with A"


def test_an_item_is_spoken_with_its_prompt_and_what_was_saved(browser: Any, tmp_path: Path) -> None:
    items = [new_item(number, num_responses=2) for number in range(4)]
    with labeling(tmp_path, items) as served, opened(browser, served) as page:
        prompts = {item.prompt[-1].content for item in items}
        saved = {"ArrowRight": "B is better", "0": "equally good", "b Enter": "all bad"}
        for count, (keys, words) in enumerate(saved.items(), start=1):
            press(page, keys)
            wait_for_count(page, count)
            news, _, prompt = spoken(page).partition(" Prompt: ")
            assert news == f"Saved: {words}. Item {count + 1} of 4. Which response is better?"
            assert prompt in prompts
            assert page.get_attribute(".card >> nth=0", "aria-describedby") is None
        press(page, "b")
        assert spoken(page) == "All bad: on"
        press(page, "Tab")  # from now on a response is spoken with its text
        assert page.get_attribute(".card >> nth=0", "aria-describedby") == "text-0"
        press(page, "x")
        page.wait_for_selector("#empty h2")
        assert spoken(page).startswith("Saved: cannot say. All done")
        assert page.evaluate("document.activeElement.textContent") == "Check again"


def test_waiting_is_spoken_once_and_keeps_the_focus(browser: Any, tmp_path: Path) -> None:
    with (
        labeling(tmp_path, 0, is_growing=lambda: True) as served,
        opened(browser, served) as page,
    ):
        assert spoken(page).startswith("Responses are being generated")
        page.evaluate("""() => {
          document.activeElement.id = "kept";
          globalThis.changes = 0;
          new MutationObserver(() => { changes += 1; }).observe(
            document.querySelector("#live"), { childList: true });
        }""")
        for _ in range(2):  # it asks the server again every two seconds
            page.wait_for_event("response", lambda answer: answer.url.endswith("/api/item"))
        page.wait_for_timeout(100)
        assert page.evaluate("[changes, document.activeElement.id]") == [0, "kept"]


def test_keys_and_handles_are_no_part_of_names(browser: Any, tmp_path: Path) -> None:
    with labeling(tmp_path, 1) as served, opened(browser, served) as page:
        tree = page.locator("body").aria_snapshot()
        for line in ('button "Undo"', 'button "Edit A"', 'checkbox "All bad"', 'button "Submit"'):
            assert line in tree
        assert 'heading "Response A" [level=2]' in tree
        session = page.context.new_cdp_session(page)
        nodes = session.send("Accessibility.getFullAXTree")["nodes"]
        names = [node["name"]["value"] for node in nodes if not node["ignored"] and "name" in node]
        assert "Response A no place yet" in names
        assert not [name for name in names if "⠿" in str(name)]
        assert page.get_attribute("#undo", "aria-keyshortcuts") == "u"


def test_the_overview_leaves_rows_alone_that_are_the_same(browser: Any, tmp_path: Path) -> None:
    with labeling(tmp_path, 1) as served, opened(browser, served) as page:
        page.goto(page.url + "overview")
        page.wait_for_selector("#annotators th[scope=row]")
        page.evaluate("document.querySelector('#annotators tr').isSeen = true")
        page.wait_for_event("response", lambda answer: answer.url.endswith("/api/overview"))
        page.wait_for_timeout(100)
        assert page.evaluate("document.querySelector('#annotators tr').isSeen")
        served.store.add_annotator("ada")
        page.wait_for_selector("#annotators tr:has-text('ada')")
