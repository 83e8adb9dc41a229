"""The system's Chromium, headless, driven by Playwright; without it the tests are skipped."""

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium_path() -> str:
    """Return the path of the browser, or skip the test."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium: install the package chromium to test the page in a browser")
    return found


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """Start a browser until the block ends."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install it")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium_path(), args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()
