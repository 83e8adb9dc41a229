"""Renders HTML pages: templates of a package, in jinja2's sandbox.

All values are escaped, and an undefined name is an error.
"""

from jinja2 import PackageLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment


def make_template_environment(package: str, folder: str = "pages") -> ImmutableSandboxedEnvironment:
    """Return the environment of the templates in a package's folder."""
    return ImmutableSandboxedEnvironment(
        loader=PackageLoader(package, folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
