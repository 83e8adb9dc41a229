"""The one way in which pages are made: templates that ship with a room, in jinja2's sandbox.

Everything that is put in is escaped, and a name that is not there is an error.
"""

from jinja2 import PackageLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment


def make_template_environment(package: str, folder: str = "pages") -> ImmutableSandboxedEnvironment:
    """Return the templates that lie in a folder of a package."""
    return ImmutableSandboxedEnvironment(
        loader=PackageLoader(package, folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
