import pytest

from upbring.privacy.detect import find_personal_data, scrub
from upbring.privacy.keys import find_keys

BODY = "\n".join(f"MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC{k:012d}" for k in range(6))


def found(text: str) -> list[str]:
    return [text[start:end] for start, end in find_keys(text)]


@pytest.mark.parametrize(
    "key",
    [
        "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",
        "SK0123456789abcdef0123456789abcdef",
        "AC0123456789abcdef0123456789abcdef",
        "pypi-" + "AgEIcHlwaS5vcmc" * 5,
        "gsk_" + "a1B2c3D4" * 6,
        "shpat_0123456789abcdef0123456789abcdef",
        "ya29.a0AfH6SMBx1234567890abcdef",
        "xapp-1-A0123456789-0123456789",
    ],
)
def test_tokens_of_known_services_are_found(key: str) -> None:
    assert found(f"my key is {key}, ok") == [key]
    assert found(f"x{key}") == []


def test_an_aws_secret_is_found_after_its_name() -> None:
    value = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    for before in (
        "aws_secret_access_key = ",
        "AWS_SECRET_ACCESS_KEY=",
        'secretAccessKey": "',
        "SecretKey: ",
    ):
        assert found(f"{before}{value}\n") == [value]
    assert found(f"commit {value}") == []
    assert found(f"secret_key={value}0") == []


@pytest.mark.parametrize(
    ("url", "login"),
    [
        ("postgres://ada:tiger7@db.example.org:5432/prod", "ada:tiger7"),
        ("mongodb+srv://ada:t%40ger@cluster.example.net", "ada:t%40ger"),
        ("redis://:hunter2@10.20.30.40:6379/0", ":hunter2"),
        ("postgresql+psycopg2://ada:tiger7@localhost/db", "ada:tiger7"),
    ],
)
def test_passwords_in_urls_are_found(url: str, login: str) -> None:
    assert found(f"at <{url}>.") == [login]


@pytest.mark.parametrize(
    "url",
    [
        "postgres://user:password@localhost/db",
        "postgres://$USER:$PASSWORD@localhost/db",
        "https://example.org:8080/@ada",
        "https://example.org/a:b@c",
        "ssh://git@example.org:22/x",
        "cvs://:pserver:anoncvs@example.org",
    ],
)
def test_urls_without_a_real_password_are_not(url: str) -> None:
    assert found(url) == []


@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
def test_a_private_key_block_is_found_with_its_body(kind: str) -> None:
    block = f"-----BEGIN {kind}PRIVATE KEY-----\n{BODY}\n-----END {kind}PRIVATE KEY-----"
    assert found(f"a\n{block}\nb") == [block]


def test_a_pgp_block_is_found_with_its_headers() -> None:
    block = (
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v2\n\n"
        f"{BODY}\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----"
    )
    assert found(f"a\n{block}\nb") == [block]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\\n"])
def test_the_body_of_a_block_without_an_end_is_found(line_end: str) -> None:
    body = BODY.replace("\n", line_end)
    block = f"-----BEGIN RSA PRIVATE KEY-----{line_end}{body}"
    assert found(f"a {block}{line_end}Then we went home.") == [block]
    assert found(f"a {block}{line_end}MIIE") == [f"{block}{line_end}MIIE"]


def test_a_scrubbed_login_leaves_the_rest_of_the_url() -> None:
    assert scrub("postgres://ada:tiger7@db.example.org/prod")[0] == (
        "postgres://[KEY]@db.example.org/prod"
    )
    kinds = [m.kind for m in find_personal_data("postgres://ada:tiger7@db.example.org/prod")]
    assert kinds == ["KEY"]
