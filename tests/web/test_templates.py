import pytest
from jinja2 import UndefinedError
from jinja2.exceptions import SecurityError

from upbring.web.templates import make_template_environment


def test_what_is_put_in_is_escaped() -> None:
    made = make_template_environment("upbring.report").from_string("<p>{{ x }}</p>")
    assert made.render(x="<b>&'") == "<p>&lt;b&gt;&amp;&#39;</p>"


def test_a_name_that_is_not_there_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        make_template_environment("upbring.report").from_string("{{ nobody }}").render()


def test_templates_cannot_leave_the_sandbox() -> None:
    made = make_template_environment("upbring.report").from_string("{{ x.__class__.__mro__ }}")
    with pytest.raises(SecurityError):
        made.render(x=1)
