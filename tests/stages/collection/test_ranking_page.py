import json
import re

from upbring.stages.collection.ranking_page import render_ranking_page

ROWS = [{"prompt": [{"role": "user", "content": "</script><b>"}], "responses": ["a", "b"]}]


def test_the_page_contains_its_rows_and_loads_nothing() -> None:
    page = render_ranking_page(ROWS)
    found = re.search(r'type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    assert json.loads(found[1]) == ROWS
    assert "default-src 'none'" in page
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", page)


def test_the_ranks_of_different_pages_are_kept_apart() -> None:
    other = [{"prompt": [], "responses": ["c", "d"]}]
    keys = {re.search(r"upbring-ranks-(\w+)", render_ranking_page(r))[1] for r in (ROWS, other)}  # type: ignore[index]  # it is there
    assert len(keys) == 2
