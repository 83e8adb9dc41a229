from upbring.data.check.findings import Finding, Tally, told


def test_failures_are_told_as_one_error_with_their_places() -> None:
    tally = Tally()
    for line in range(1, 8):
        tally.add(f"chat.jsonl:{line}")
    findings = [
        Finding("fine", "rows", "all 9 are well formed"),
        Finding("note", "same prompts", "2 of 9 rows"),
        Finding("warning", "copies", "1 of 9 rows stood before"),
        tally.finding("failure", "tokens", found="in 7 of 9 rows, no stop", todo="write one"),
    ]
    assert told(findings).splitlines() == [
        "check: 1 of 3 checks failed; correct this, then check again",
        "tokens: in 7 of 9 rows, no stop; write one",
        *(f"  chat.jsonl:{line}" for line in range(1, 6)),
        "  and 2 more",
    ]


def test_warnings_are_no_error() -> None:
    assert not told([Finding("warning", "copies", "1 of 9 rows stood before")])
