"""The renderer of Go's template language, on texts worked out by hand from Go's documentation."""

import pytest

from upbring.export.gguf.go_template import GoTemplateError, render

MESSAGES = [
    {"Role": "system", "Content": "Be kind."},
    {"Role": "user", "Content": "Hi"},
    {"Role": "assistant", "Content": "Hello"},
]
DATA = {"System": "Be kind.", "Messages": MESSAGES, "Empty": "", "None": []}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("a {{ .System }} b", "a Be kind. b"),
        ("a \n {{- .System -}} \n b", "aBe kind.b"),  # the markers strip white space
        ('{{ "{{" }}x{{ "\\"\\n" }}', '{{x"\n'),
        ("{{ if .Empty }}yes{{ else }}no{{ end }}", "no"),
        ("{{ if .None }}1{{ else if .System }}2{{ else }}3{{ end }}", "2"),
        ("{{ if not .Empty }}{{ if .System }}both{{ end }}{{ end }}", "both"),
        ("{{ range .Messages }}[{{ .Role }}]{{ end }}", "[system][user][assistant]"),
        ("{{ range $i, $m := .Messages }}{{ $i }}{{ $m.Content }}{{ end }}", "0Be kind.1Hi2Hello"),
        ("{{ range $m := .Messages }}{{ $m.Role }} {{ end }}", "system user assistant "),
        ("{{ range .None }}x{{ else }}nothing{{ end }}", "nothing"),
        ('{{ range .Messages }}{{ if eq .Role "user" "system" }}{{ .Content }}{{ end }}{{ end }}',
         "Be kind.Hi"),
        ('{{ if and .System (ne .Empty "x") }}{{ or .Empty .System }}{{ end }}', "Be kind."),
        ("{{ $a := len .Messages }}{{ $a }}{{ $a = 1 }}{{ $a }}", "31"),
        ("{{ len (slice .Messages 1) }}{{ len (slice .Messages 0 1) }}", "21"),
        ("{{ range $i, $_ := .Messages }}{{ eq (len (slice $.Messages $i)) 1 }} {{ end }}",
         "false false true "),
        ("{{ range .Messages }}{{ $.System }}{{ end }}", "Be kind." * 3),
    ],
)  # fmt: skip
def test_a_template_renders_as_in_go(template: str, expected: str) -> None:
    assert render(template, DATA) == expected


@pytest.mark.parametrize(
    "template",
    [
        "{{ .Unknown }}", "{{ if .System }}", "{{ end }}", "{{ range .System }}{{ end }}",
        "{{ printf .System }}", "{{ $x }}", "{{ (eq 1 1 }}", "{{ .System | json }}",
        "{{ if .System }}{{ else }}{{ else }}{{ end }}", "{{ len 3 }}", "{{ eq 1 1 ) }}",
        "{{ if }}{{ end }}", "{{ slice .Messages .System }}",
    ],
)  # fmt: skip
def test_anything_else_is_an_error(template: str) -> None:
    with pytest.raises(GoTemplateError):
        render(template, DATA)
