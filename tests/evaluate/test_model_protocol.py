import math

from tests.evaluate.scripted import user_prompt
from upbring.data.read.records import Message
from upbring.evaluate.model_protocol import Likelihood, fingerprint, format_prompt


def test_a_fingerprint_is_of_all_its_parts() -> None:
    assert fingerprint(user_prompt("a"), 1) == fingerprint(user_prompt("a"), 1)
    assert (
        len(
            {
                fingerprint(user_prompt("a"), 1),
                fingerprint(user_prompt("b"), 1),
                fingerprint("a", 1),
            }
        )
        == 3
    )
    assert fingerprint("half of a pair: \ud83d")


def test_a_prompt_is_shown_as_people_read_it() -> None:
    assert format_prompt("The sky is") == "The sky is"
    assert format_prompt(user_prompt("Hi?")) == "Hi?"
    assert (
        format_prompt((Message("user", "Hi"), Message("assistant", "Yes?")))
        == "user: Hi\nassistant: Yes?"
    )


def test_a_mean_is_of_a_token() -> None:
    assert Likelihood(-3.0, 2).mean == -1.5
    assert math.isfinite(Likelihood(0.0, 0).mean)
