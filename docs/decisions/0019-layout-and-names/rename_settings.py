"""Renames settings where they are text: flags, YAML keys, names in strings, docs and tests.

Run after `rename.py`, which renames the fields themselves.
"""

import io
import re
import subprocess
import tokenize
from pathlib import Path

HERE = Path(__file__).parent
RENAMED = dict(
    line.split("\t") for line in (HERE / "settings.tsv").read_text().splitlines() if line
)
# words that mean other things too: only flags and keys of YAML files are renamed by themselves
COMMON = {
    *("reward", "value", "keep", "most", "answers", "template", "samples", "decay", "discount"),
    *("drawn", "choose", "precision", "clip", "targets", "smoothing", "ema", "dry", "epsilon"),
    *("schedule", "beta1", "beta2"),
}
HISTORY = ("docs/log.md", "docs/decisions/", "bench/RESULTS.md", "bench/figures/")


def flags(text: str) -> str:
    def new(hit: re.Match[str]) -> str:
        name = hit[2].replace("-", "_")
        return hit[1] + RENAMED.get(name, name).replace("_", "-") if name in RENAMED else hit[0]

    return re.sub(r"(--(?:no-)?)([a-z][a-z0-9-]*[a-z0-9])(?![\w-])", new, text)


def keys(text: str) -> str:
    """Rename keys of YAML; `reward:` alone on its line is a stage of that name."""

    def new(hit: re.Match[str]) -> str:
        is_stage = hit[2] == "reward" and not re.match(r" +[\w.\[]", text[hit.end() :])
        return hit[0] if is_stage or hit[2] not in RENAMED else f"{hit[1]}{RENAMED[hit[2]]}:"

    return re.sub(r"((?:^|[{,\n])[ \t]*)([a-z][a-z0-9_]*):(?=\s)", new, text)


def words(text: str) -> str:
    """Rename words that mean a setting alone."""

    def new(hit: re.Match[str]) -> str:
        return hit[0] if hit[0] in COMMON else RENAMED.get(hit[0], hit[0])

    return re.sub(r"(?<![\w-])[a-z][a-z0-9_]*(?![\w-])", new, text)


def in_strings(text: str) -> str:
    lines = text.splitlines(keepends=True)
    for token in reversed(list(tokenize.generate_tokens(io.StringIO(text).readline))):
        if token.type in {tokenize.STRING, tokenize.COMMENT}:
            (row, start), (last, end) = token.start, token.end
            made = flags(words(token.string))
            quoted = re.match(r"[rbuf]*(\"\"\"|\"|')", token.string)
            is_yaml = quoted is not None and re.search(r"^\s*\w+: ?\S?.*$|\{\w+: ", token.string[3:], re.M)
            made = keys(made) if is_yaml else made
            whole = "".join(lines[row - 1 : last])
            tail = len(lines[last - 1]) - end
            fresh = whole[:start] + made + whole[len(whole) - tail :]
            lines[row - 1 : last] = [fresh, *[""] * (last - row)]
    return "".join(lines)


def main() -> None:
    found = subprocess.run(["git", "ls-files"], check=True, capture_output=True, text=True)
    for name in found.stdout.splitlines():
        path = Path(name)
        if name.startswith(HISTORY) or path.suffix not in {".py", ".md", ".yaml", ".html", ".jinja", ".toml"}:
            continue
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            made = in_strings(text)
        elif path.suffix == ".yaml":
            made = flags(keys(words(text)))
        else:
            made = flags(words(keys(text) if "```yaml" in text else text))
        if made != text:
            path.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
