from pathlib import Path

from upbring.api.stub import STUB, stub_text, write_stub

ROOT = Path(__file__).parents[2]


def test_the_stub_is_what_the_settings_declare() -> None:
    found = (ROOT / STUB).read_text(encoding="utf-8")
    assert found == stub_text(), "out of date; run `make docs`"


def test_the_stub_of_a_checkout_is_written(tmp_path: Path) -> None:
    (tmp_path / STUB).parent.mkdir(parents=True)
    write_stub(tmp_path)
    assert (tmp_path / STUB).read_text(encoding="utf-8") == stub_text()
