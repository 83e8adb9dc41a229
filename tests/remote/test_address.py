import pytest

from upbring.errors import InputError
from upbring.remote.address import API_KEY_VARIABLE, api_key, is_url, parse_address


def test_a_url_is_distinguished_from_a_folder() -> None:
    assert is_url("https://example.org/v1")
    assert is_url("http://localhost:8000/v1#a")
    assert not any(map(is_url, ("runs/sft-1", "owner/name", "builtin:sprout", "file:///etc")))


def test_an_address_is_written_as_it_was_read() -> None:
    for url in ("http://localhost:8000/v1", "http://localhost:8000/v1#mine"):
        assert parse_address(url).text == url
    assert parse_address("http://a/v1").model == "default"
    assert parse_address("http://a/v1/systemone#m").is_decision_server
    assert not parse_address("http://a/v1#systemone").is_decision_server


def test_a_password_in_the_url_is_rejected_and_not_repeated() -> None:
    with pytest.raises(
        InputError, match=f"contains a user name or password; .*{API_KEY_VARIABLE}"
    ) as e:
        parse_address("https://ann:secret@host/v1")
    assert "secret" not in str(e.value)


def test_the_key_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(API_KEY_VARIABLE, "secret")
    assert api_key() == "secret"
    monkeypatch.setenv(API_KEY_VARIABLE, "")
    assert api_key() is None
