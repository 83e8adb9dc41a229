"""What the documents say: commands are understood, links lead somewhere, examples are true."""

import contextlib
import doctest
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import small
from tests.commands import done
from upbring.cli.command_table import commands, split_command
from upbring.cli.flags import parse_flags
from upbring.cli.main import main
from upbring.cli.reference_pages import README, replace_blocks
from upbring.settings.alias_table import COMMAND_ALIASES
from upbring.settings.methods.sft import SftSettings
from upbring.settings.resolve import resolve
from upbring.settings.schema import Settings, setting_specs

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "bench" / "RESULTS.md", *DOCS.rglob("*.md")])
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
COMMAND_OF = dict.fromkeys(("sprout", "sprout-papers", "sprout-examinations"), "pretrain")
ALGORITHMS = sorted(name for name, command in commands().items() if command.is_method)

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HERE_DOCUMENT = re.compile(r"^cat > (\S+) <<'END'\n(.*?)^END\n", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
TARGET = re.compile(r"^([a-z]+):", re.MULTILINE)
ROW = re.compile(r"^\| `(\w+)` \| ([^|]+) \|", re.MULTILINE)

# Terms that the glossary must define.
TERMS = {
    *("prompt", "response", "branch", "tree", "batch", "tokens", "logprobs", "weight"),
    *("chosen", "rejected", "ranking", "policy", "reference", "reward", "value", "rollout"),
    *("judge", "annotator", "settings", "run", "stage", "recipe", "pipeline", "contract", "gate"),
}

# What makes a documented command quick: the same command with fewer steps.
BRIEF = {
    "pretrain": ["--steps", "2", "--sample-tokens", "2", "--threads", "1"],
    "sft": ["--steps", "2", "--sample-tokens", "2", "--threads", "1"],
    "chat": ["--max-tokens", "2", "--threads", "1"],
}


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return FENCE.sub("", text_of(page))


def blocks(page: Path, language: str) -> list[str]:
    return [body for name, body in FENCE.findall(text_of(page)) if name == language]


def page_commands(page: Path) -> list[list[str]]:
    """Return the words of each command that a page shows."""
    indented = re.findall(r"^    (upbring .*\n)", prose(page), re.MULTILINE)
    shell = [HERE_DOCUMENT.sub("", block) for block in blocks(page, "sh")]
    lines = "".join([*shell, *indented]).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def shown_commands() -> Iterator[tuple[str, list[str]]]:
    for page in PAGES:
        for words in page_commands(page):
            yield named(page), words
    for recipe in RECIPES:
        for line in text_of(recipe).splitlines():
            if line.startswith("#   upbring "):
                yield named(recipe), shlex.split(line.removeprefix("#"))


def slug(heading: str) -> str:
    """Return the anchor that a heading gets."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


@pytest.mark.parametrize(("page", "words"), list(shown_commands()))
def test_every_command_that_is_shown_is_understood(
    page: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    program, *rest = words
    command, rest = split_command(rest)
    if program == "make":
        assert {command, *rest} <= set(TARGET.findall(text_of(ROOT / "Makefile"))), page
        return
    if program == "pip":
        assert command == "install", page
        return
    assert program == "upbring", f"{page}: {program} is neither upbring nor make"
    name = str(COMMAND_ALIASES.get(command, command))
    call = parse_flags(commands()[name], rest)
    assert call is not None, f"{page}: shows help"
    resolve(
        commands()[name].load_settings(),
        section=name,
        file=call.settings_file,
        flags=call.flags,
    )


def test_the_commands_of_the_first_page_run_one_after_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    small.make_model(tmp_path / "base")
    small.make_documents(tmp_path / "books.jsonl", 40)
    small.make_demonstrations(tmp_path / "chat.jsonl", 40)
    for _, command, *words in page_commands(DOCS / "learn" / "README.md"):
        done(tmp_path, command, *_shortened(words), *BRIEF.get(command, []))
    assert (tmp_path / "assistant" / "model.safetensors").is_file()
    for command, name in (("pretrain", "base"), ("sft", "assistant")):
        lines = (tmp_path / "runs" / name / "metrics.jsonl").read_text().splitlines()
        logged = {key for line in lines for key in json.loads(line)} - {"step", "kind", "time"}
        page = text_of(DOCS / "algorithms" / f"{command}.md")
        assert [metric for metric in logged if f"`{metric}`" not in page] == []


def test_the_quickstart_runs_as_it_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (block, *_) = [block for block in blocks(ROOT / "README.md", "sh") if "cat >" in block]
    for name, rows in HERE_DOCUMENT.findall(block):
        (tmp_path / name).write_text(rows, encoding="utf-8")
    lines = [shlex.split(line) for line in HERE_DOCUMENT.sub("", block).splitlines()]
    for program, command, *words in lines:
        if program == "upbring":
            done(tmp_path, command, *words, *BRIEF.get(command, []))
    assert (tmp_path / "assistant" / "model.safetensors").is_file()


def _shortened(words: list[str]) -> list[str]:
    """Return the words without the flags that `BRIEF` replaces."""
    kept = []
    pairs = iter(words)
    for word in pairs:
        if word in {"--threads", "--epochs"}:
            next(pairs)
        else:
            kept.append(word)
    return kept


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), f"{named(page)}: {link} does not exist"
        assert target.is_relative_to(ROOT), f"{named(page)}: {link} leaves the house"
        if anchor:
            anchors = [slug(heading) for heading in HEADING.findall(text_of(target))]
            assert anchor in anchors, f"{named(page)}: {link}: no such heading"


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=named)
def test_examples_in_documents_are_true(
    page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "\n".join(blocks(page, "python"))
    test = doctest.DocTestParser().get_doctest(source, {}, page.name, named(page), 0)
    with contextlib.chdir(tmp_path), capsys.disabled():
        found = doctest.DocTestRunner(verbose=False).run(test)
    assert found.attempted
    assert not found.failed


@pytest.mark.parametrize("recipe", RECIPES, ids=named)
def test_every_recipe_resolves(recipe: Path) -> None:
    section = COMMAND_OF.get(recipe.stem, recipe.stem)
    kind = commands()[section].load_settings()
    resolved = resolve(kind, section=section, file=recipe, flags={})
    assert "default" in resolved.origins.values()
    assert set(resolved.origins.values()) != {"default"}


def documented_defaults(name: str) -> dict[str, str]:
    """Return the defaults in the table of settings of an algorithm's page."""
    page = text_of(DOCS / "algorithms" / f"{name}.md")
    section = page.partition("\n## Settings\n")[2].partition("\n## ")[0]
    return {setting: default.strip() for setting, default in ROW.findall(section)}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_algorithm_s_page_lists_each_setting_and_its_default(name: str) -> None:
    kind: type[Settings] = commands()[name].load_settings()
    expected = {setting.name: setting.default_text for setting in setting_specs(kind).values()}
    documented = documented_defaults(name)
    if kind is not SftSettings:  # the other pages list only what differs from fine-tuning
        shared = documented_defaults("sft")
        documented = {
            setting: shared[setting] for setting in expected if setting in shared
        } | documented
    assert documented == expected


def test_the_tables_of_the_readme_are_what_the_registry_declares() -> None:
    readme = text_of(ROOT / README)
    assert readme == replace_blocks(readme), "out of date; run `make docs`"
    assert readme.count("\n") <= 150
    for command in commands().values():
        assert f"[`{command.name}`]" in readme or f"`{command.name}`" in readme


def test_the_glossary_defines_each_term_once() -> None:
    terms = re.findall(r"^\| ([^|*]+) \|", text_of(DOCS / "glossary.md"), re.MULTILINE)
    assert set(terms) >= TERMS
    assert len(terms) == len(set(terms))


def test_each_decision_has_a_number_of_its_own() -> None:
    numbers = [int(path.name[:4]) for path in (DOCS / "decisions").glob("*.md")]
    assert sorted(numbers) == sorted(set(numbers))


def test_every_page_to_learn_from_is_in_the_index() -> None:
    index = text_of(DOCS / "learn" / "README.md")
    pages = {path.name for path in (DOCS / "learn").glob("*.md")} - {"README.md"}
    assert {name for name in pages if f"({name})" not in index} == set()


def test_the_page_that_a_notice_names_is_there() -> None:
    named = [
        match
        for source in (ROOT / "upbring").rglob("*.py")
        for match in re.findall(r"docs/[\w/.-]+\.md", source.read_text(encoding="utf-8"))
    ]
    assert named
    assert [page for page in named if not (ROOT / page).is_file()] == []


def test_help_and_version_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == main(["sft", "--help"]) == 0
    page = capsys.readouterr().out
    assert [command for command in commands() if command not in page] == []
