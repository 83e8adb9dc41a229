from upbring.web.static_files import read_static_files, static_response


def test_shared_files_come_with_those_of_the_package() -> None:
    texts = read_static_files("upbring.feedback.labeling")
    assert {"markdown.js", "elements.js", "shared.css", "label.js"} <= texts.keys()
    assert not any(name.endswith((".py", ".html")) for name in texts)


def test_only_known_names_are_answered() -> None:
    texts = {"a.js": "let x;"}
    assert static_response(texts, "a.js").media_type == "text/javascript"
    assert static_response(texts, "../a.js").status_code == 404
