import re
from pathlib import Path

import upbring as ub
from upbring.api.reference_page import API_PAGE, EXAMPLES, api_page, write_api_page

ROOT = Path(__file__).parents[2]
EXAMPLE_TEXT = (ROOT / EXAMPLES).read_text(encoding="utf-8")


def test_the_page_is_what_the_functions_declare() -> None:
    found = (ROOT / API_PAGE).read_text(encoding="utf-8")
    assert found == api_page(EXAMPLE_TEXT), "out of date; run `make docs`"


def test_the_page_has_every_public_name() -> None:
    page = (ROOT / API_PAGE).read_text(encoding="utf-8")
    headings = set(re.findall(r"^### (\w+)$", page, re.MULTILINE))
    errors = set(re.findall(r"^\| `(\w+)` \| \d+ \|", page, re.MULTILINE))
    types = {"Data", "ModelLike", "UpbringError"}  # explained at the top
    assert all(f"`{name}`" in page for name in types)
    assert sorted([*headings, *errors, *types, "__version__"]) == sorted(ub.__all__)


def test_the_page_of_a_checkout_is_written(tmp_path: Path) -> None:
    for name in (API_PAGE, EXAMPLES):
        (tmp_path / name).parent.mkdir()
    (tmp_path / EXAMPLES).write_text(EXAMPLE_TEXT, encoding="utf-8")
    write_api_page(tmp_path)
    assert (tmp_path / API_PAGE).read_text(encoding="utf-8") == api_page(EXAMPLE_TEXT)
