import pytest
from jinja2 import UndefinedError
from jinja2.exceptions import SecurityError

from upbring.web.templates import make_template_environment


def test_values_are_escaped() -> None:
    template = make_template_environment("upbring.report").from_string("<p>{{ x }}</p>")
    assert template.render(x="<b>&'") == "<p>&lt;b&gt;&amp;&#39;</p>"


def test_an_undefined_name_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        make_template_environment("upbring.report").from_string("{{ nobody }}").render()


def test_templates_cannot_leave_the_sandbox() -> None:
    template = make_template_environment("upbring.report").from_string("{{ x.__class__.__mro__ }}")
    with pytest.raises(SecurityError):
        template.render(x=1)
