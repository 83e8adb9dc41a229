from upbring.data.check.findings import CheckFinding, ExampleTally, format_failures


def test_failures_are_reported_as_one_error_with_their_locations() -> None:
    tally = ExampleTally()
    for line in range(1, 8):
        tally.add(f"chat.jsonl:{line}")
    findings = [
        CheckFinding("fine", "rows", "all 9 rows are well-formed"),
        CheckFinding("note", "same prompts", "2 of 9 rows"),
        CheckFinding("warning", "duplicates", "1 of 9 rows repeat an earlier row"),
        tally.make_finding(
            "failure", "tokens", message="in 7 of 9 rows, no stop", todo="write one"
        ),
    ]
    assert format_failures(findings).splitlines() == [
        "check: 1 of 3 checks failed; fix them, then check again",
        "tokens: in 7 of 9 rows, no stop; write one",
        *(f"  chat.jsonl:{line}" for line in range(1, 6)),
        "  and 2 more",
    ]


def test_warnings_are_not_an_error() -> None:
    assert not format_failures(
        [CheckFinding("warning", "duplicates", "1 of 9 rows repeat an earlier row")]
    )
