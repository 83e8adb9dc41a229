"""Read a small JSON file that must contain an object."""

import json
from pathlib import Path

from upbring.errors import InputError

MAX_BYTES = 20_000_000


def read_json_object(path: Path) -> dict[str, object]:
    """Return the JSON object in a file, or an empty one if the file does not exist."""
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: is larger than {MAX_BYTES:,} bytes; check its origin")
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path}: cannot be read ({reason}); check its permissions") from error
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: is not valid JSON ({error}); download the model again"
        ) from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: is not a JSON object; download the model again")
    return value
