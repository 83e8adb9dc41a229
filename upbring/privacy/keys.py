"""Find secrets in text: tokens of known services, private key blocks, and passwords in URLs.

Every pattern is bounded, so that the time is linear in the length of the text.
"""

import re
from collections.abc import Iterator

KEY_PREFIXES = (  # one of them is in every text with a key
    *("sk-", "sk_", "rk_", "pk_", "AKIA", "ASIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    *("github_pat_", "glpat-", "xox", "xapp-", "AIza", "ya29.", "hf_", "npm_", "pypi-", "gsk_"),
    *("SG.", "SK", "AC", "shpat_", "dckr_pat_", "r8_", "xai-", "key-", "eyJ", "-----BEGIN", "://"),
    *("ecret", "ECRET"),
)
_TOKEN = re.compile(
    r"""
    (?<![A-Za-z0-9_-])(?:
      sk-[A-Za-z0-9_-]{20,}+
    | (?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}+
    | (?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])
    | gh[pousr]_[A-Za-z0-9]{36,}+
    | github_pat_[A-Za-z0-9_]{22,}+
    | glpat-[A-Za-z0-9_-]{20,}+
    | xox[abeprs]-[A-Za-z0-9-]{10,}+
    | xapp-\d-[A-Za-z0-9-]{20,}+
    | AIza[A-Za-z0-9_-]{35}
    | ya29\.[A-Za-z0-9_-]{20,}+
    | (?:hf|npm)_[A-Za-z0-9]{30,}+
    | pypi-[A-Za-z0-9_-]{50,}+
    | gsk_[A-Za-z0-9]{40,}+
    | xai-[A-Za-z0-9]{40,}+
    | r8_[A-Za-z0-9]{37}
    | SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}
    | (?:SK|AC)[0-9a-f]{32}(?![A-Za-z0-9])
    | shpat_[0-9a-f]{32}
    | dckr_pat_[A-Za-z0-9_-]{20,}+
    | key-[0-9a-f]{32}(?![A-Za-z0-9])
    | eyJ[A-Za-z0-9_-]{8,}+\.eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}+
    )
    """,
    re.VERBOSE,
)
_ASSIGNED = re.compile(  # an AWS secret has no prefix: 40 characters after its name
    r"(?:secret|SECRET|Secret)[_ -]?(?:(?:access|ACCESS|Access)[_ -]?)?(?:key|KEY|Key)"
    r"['\"]?[ \t]{0,4}(?:=>|[:=])[ \t]{0,4}['\"]?([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"
)
_URL_LOGIN = re.compile(
    r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{1,24}://"
    r"([^\s:/@?#<>\"'`]{0,64}:([^\s/@:<>\"'`]{1,128}))@[^\s/@:<>\"'`]"
)
_PLACEHOLDER = re.compile(
    r"(?i:pass|passwd|password|passw0rd|pwd|pw|secret|token|your.*|my.*|x+|\*+|\.+|changeme"
    r"|.*password)|[$%{<\[(].*"
)
_BLOCK_BEGIN = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_BLOCK_END = re.compile(r"-----END (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_BODY_LINE = re.compile(  # of a block without an end; its last line may be short
    r"(?:\r?\n|\\r\\n|\\n| ){0,3}"
    r"(?:[A-Za-z0-9+/=]{20,100}(?![A-Za-z0-9+/=])|[A-Za-z0-9+/=]{1,100}\Z"
    r"|(?:Version|Comment|Hash|Charset|Proc-Type|DEK-Info): [^\n\\]{0,100})"
)
_MAX_BLOCK = 1 << 14  # an RSA key of 16,384 bits takes 12,700 characters


def find_keys(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of secrets.

    >>> [*find_keys("postgresql://ada:tiger@db.example.org/prod")]
    [(13, 22)]
    """
    for match in _TOKEN.finditer(text):
        yield match.span()
    for match in _ASSIGNED.finditer(text):
        yield match.span(1)
    for match in _URL_LOGIN.finditer(text):
        if not _PLACEHOLDER.fullmatch(match.group(2)):
            yield match.span(1)
    yield from _find_blocks(text)


def _find_blocks(text: str) -> Iterator[tuple[int, int]]:
    """Yield private key blocks with their bodies, also of blocks that are cut off."""
    last_end: re.Match[str] | None = None
    has_more_ends = True
    for begin in _BLOCK_BEGIN.finditer(text):
        if has_more_ends and (last_end is None or last_end.start() < begin.end()):
            last_end = _BLOCK_END.search(text, begin.end())
            has_more_ends = last_end is not None
        if has_more_ends and last_end is not None and last_end.start() - begin.end() < _MAX_BLOCK:
            yield begin.start(), last_end.end()
        else:
            yield begin.start(), _body_end(text, begin.end())


def _body_end(text: str, start: int) -> int:
    """Return where the lines of a key end."""
    end = start
    while end - start < _MAX_BLOCK and (line := _BODY_LINE.match(text, end)):
        end = line.end()
    return end
