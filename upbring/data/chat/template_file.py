"""Read the chat template that the user gives as a file."""

from pathlib import Path

from upbring.errors import InputError


def read_template_file(path: Path | None) -> str | None:
    """Return the text of a chat template, or None if no file is given."""
    if path is None:
        return None
    if not path.is_file():
        raise InputError(
            f"chat template {path}: is not a file; give a Jinja file (there are no named "
            "templates), or leave it out to use the model's own"
        )
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"chat template {path}: cannot be read ({error}); give another file"
        ) from error
