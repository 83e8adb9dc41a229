from upbring.maths.random_key import key


def test_keys_distinguish_their_parts() -> None:
    assert len({key(1, 23), key(12, 3), key("1", 23), key(1, "23")}) == 4
