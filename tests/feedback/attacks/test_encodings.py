"""Every encoding can be undone, and its codes are those of another implementation."""

import base64
import binascii

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbring.feedback.attacks.encodings import ENCODINGS, encode_request
from upbring.maths.random_draws import RandomStream


@pytest.mark.parametrize("name", ENCODINGS)
@given(text=st.text())
def test_decoding_undoes_encoding(name: str, text: str) -> None:
    encoding = ENCODINGS[name]
    kept = encoding.keeps(text)
    code = encoding.encode(text)
    assert (encoding.decode(code) if code else "") == kept


def test_codes_are_those_of_the_standard_library_and_of_tables() -> None:
    codes = {name: each.encode("SOS, abc") for name, each in ENCODINGS.items()}
    assert base64.b64decode(codes["base64"]) == b"SOS, abc"
    assert binascii.unhexlify(codes["hex"].replace(" ", "")) == b"SOS, abc"
    assert codes["rot13"] == "FBF, nop"
    assert codes["atbash"] == "HLH, zyx"
    assert codes["morse"] == "... --- ... --..-- / .- -... -.-."
    assert codes["reversed"] == "cba ,SOS"
    assert codes["reversed words"] == "abc SOS,"


def test_every_encoding_is_drawn_and_named() -> None:
    drawn = [encode_request("Hi there", RandomStream(0, i)) for i in range(100)]
    for encoding in ENCODINGS.values():
        code = encoding.encode("Hi there")
        assert any(code in text and encoding.name in text for text in drawn)


def test_a_text_without_letters_of_the_code_is_not_lost() -> None:
    assert all(len(encode_request("日本", RandomStream(i))) > len("日本") for i in range(30))
