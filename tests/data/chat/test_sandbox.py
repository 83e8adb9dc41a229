import contextlib
import time
import tracemalloc
from pathlib import Path

import pytest

from tests.conftest import IS_NIGHTLY
from upbring.data.chat.template import ChatTemplate
from upbring.data.read.records import Message
from upbring.errors import InputError

MESSAGES = (Message("user", "Hi"), Message("assistant", "Ho"))


def rendered(source: str) -> str:
    return (
        ChatTemplate(source)
        .render(MESSAGES, add_generation_prompt=False, special_tokens_map={"eos_token": "</s>"})
        .text
    )


def grown(step: str, *, start: str = "'a'") -> str:
    """Return a template that assigns `step` to n.x sixty times."""
    loop = f"{{% for i in range(60) %}}{{% set n.x = {step} %}}{{% endfor %}}"
    return f"{{% set n = namespace(x={start}) %}}{loop}"


# Each needs gigabytes or hours without limits.
LONG = "a" * 50_000
GROWING = {
    "product": "{{ 'a' * 10**9 }}",
    "product from the left": "{{ 10**9 * 'a' }}",
    "product of lists": "{{ [1] * 10**9 }}",
    "range": "{% for a in range(10**9) %}{% endfor %}",
    "power": "{{ 2 ** (2**62) }}",
    "doubling": grown("n.x + n.x"),
    "joining": grown("n.x ~ n.x"),
    "squaring": grown("n.x * n.x", start="3"),
    "lists in lists": grown("[n.x, n.x]"),
    "center": "{{ 'a' | center(10**9) }}",
    "center method": "{{ 'a'.center(10**9) }}",
    "ljust": "{{ 'a'.ljust(10**9) }}",
    "zfill": "{{ 'a'.zfill(10**9) }}",
    "center by map": "{{ ['a'] | map('center', 10**9) | list }}",
    "center by block": "{% filter center(10**9) %}a{% endfilter %}",
    "indent": "{{ 'a\\nb' | indent(10**9) }}",
    "indent lines": "{{ ('\\n' * 900000) | indent(900000) }}",
    "join": "{{ range(100000) | join('a' * 100000) }}",
    "join method": "{{ ('a' * 100000).join(('b' * 100000) | map('upper')) }}",
    "replace": "{{ ('a' * 100000) | replace('a', 'b' * 100000) }}",
    "replace nothing": "{{ ('a' * 100000).replace('', 'b' * 100000) }}",
    "percent": "{{ '%1000000000d' % 1 }}",
    "percent filter": "{{ '%1000000000d' | format(1) }}",
    "percent star": "{{ '%*d' % (10**9, 1) }}",
    "braces": "{{ '{:1000000000}'.format(1) }}",
    "braces within braces": "{{ '{:{w}}'.format(1, w=10**9) }}",
    "many braces": "{{ ('{0}' * 100000).format('a' * 100000) }}",
    "round": "{{ 1 | round(100000000, 'ceil') }}",
    "batch": "{{ [1] | batch(10**9, 'x') | list }}",
    "json": "{{ [1] | tojson(indent=100000000) }}",
    "date": "{{ strftime_now('%1000000000Y') }}",
    "text in a loop": "{% for i in range(100000) %}" + LONG + "{% endfor %}",
    "text in a set": "{% set x %}{% for i in range(9999) %}" + LONG + "{% endfor %}{% endset %}",
    "text in a macro": "{% macro m() %}" + LONG + "{% endmacro %}"
    "{% for i in range(9999) %}{% set x = m() %}{% endfor %}",
    "text that is generated": "{% for i in range(9999) %}{% generation %}" + LONG + "{% "
    "endgeneration %}{% endfor %}",
    "many variables": "".join(f"{{% set v{i} = 'a' * 900000 %}}" for i in range(999)),
    "endless recursion": "{% macro f(n) %}{{ f(n - 1) }}{% endmacro %}{{ f(1) }}",
    "slow strip": "{{ ('a' * 900000).strip('b' * 900000 + 'a') }}",
    "slow search": "{{ ('a' * 900000).rfind('b' + 'a' * 450000) }}",
    "sum of lists": "{{ ([[1]] * 100000) | sum(start=[]) }}",
    "deep brackets": "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "deep blocks": "{% if 1 %}" * 500 + "{% endif %}" * 500,
    "long source": "{{ a }}" * 30_000,
}
SLOW = {
    "loops": "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
    "branching recursion": "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}"
    "{% endmacro %}{{ f(60) }}",
    "slow membership": "{% set l = range(99999) | list %}"
    "{{ l | select('in', l | reverse | list) | list }}",
    "recursive loop": "{% for i in range(99) recursive %}"
    "{% if loop.depth < 9 %}{{ loop(range(99)) }}{% endif %}{% endfor %}",
    "circle": "{% set a = namespace(x=1) %}{% set a.x = [a, a] %}{{ a }}",
    "dicts in dicts": grown("dict(a=n.x, b=n.x)"),
}


@pytest.mark.parametrize("name", GROWING)
def test_a_template_with_unbounded_output_is_rejected(name: str) -> None:
    start = time.thread_time()
    with pytest.raises(InputError, match="chat template"):
        rendered(GROWING[name])
    assert time.thread_time() - start < 1.5


@pytest.mark.parametrize("name", SLOW if IS_NIGHTLY else ["loops", "circle"])
def test_a_template_with_unbounded_run_time_is_stopped(name: str) -> None:
    start = time.thread_time()
    with pytest.raises(InputError, match="the chat template was stopped"):
        rendered(SLOW[name])
    assert time.thread_time() - start < 2


def test_bombs_are_stopped_within_256_megabytes() -> None:
    large = ("many variables", "product", "doubling", "replace", "text in a set", "many braces")
    for name, bomb in GROWING.items():
        if IS_NIGHTLY or name in large:
            tracemalloc.start()
            with pytest.raises(InputError):
                rendered(bomb)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 200_000_000, name  # includes Python and jinja2


PAYLOADS = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__']['__mro__'][1]['__subclasses__']() }}",
    "{{ ''|attr('__class__')|attr('__mro__') }}",
    "{{ ''|attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
    "{{ [].__class__.__base__.__subclasses__() }}",
    "{{ self._TemplateReference__context.cycler.__init__.__globals__.os.system('X') }}",
    "{{ cycler.__init__.__globals__.os.popen('X').read() }}",
    "{{ joiner.__init__.__globals__['os'] }}",
    "{{ namespace.__init__.__globals__['os'] }}",
    "{{ lipsum.__globals__['os'].popen('X') }}",
    "{{ range.__self__ }}{{ range.__globals__ }}",
    "{{ raise_exception.__globals__['json'] }}",
    "{{ strftime_now.__closure__[0].cell_contents.__class__ }}",
    "{{ dict.__subclasses__() }}{{ dict.mro() }}",
    "{{ messages.append({'role': 'user'}) }}",
    "{{ messages[0].update({'role': 'x'}) }}",
    "{{ messages[0].__setitem__('role', 'x') }}",
    "{{ messages.__iadd__([1]) }}",
    "{{ '{0.__class__.__mro__}'.format(1) }}",
    "{{ '{0.__class__}'.format_map({'0': 1}) }}",
    "{{ '%(a)s'|format(a=''.__class__) }}",
    "{{ ''.format.__self__.__class__ }}",
    "{{ ''.format.__globals__ }}{{ ''.format.__closure__ }}",
    "{% set f = ''.format %}{{ f.__func__ }}",
    "{{ ['{0.__class__}']|map('format', 1)|list }}",
    "{{ [1]|map(attribute='__class__')|list }}",
    "{{ [1]|groupby('__class__')|list }}",
    "{{ [1]|sort(attribute='__class__') }}",
    "{{ [1]|selectattr('__class__')|list }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os.system('X') }}",
    "{% from 'os' import system %}",
    "{% extends '/etc/passwd' %}",
    "{{ config }}{{ request.application.__globals__ }}",
    "{{ environment }}{{ context }}{{ budget }}",
    "{{ loop.__class__ }}{% for x in [1] %}{{ loop._iterator }}{{ loop.__init__ }}{% endfor %}",
    "{% macro m() %}{% endmacro %}{{ m._func.__globals__ }}{{ m.__call__ }}",
    "{{ caller.__globals__ }}{{ varargs }}",
    "{{ (1).__class__ }}{{ 1.0.fromhex }}{{ (1).to_bytes }}",
    "{{ ''.encode('idna') }}{{ 'a'.maketrans('a', 'b') }}",
    "{{ self.__init__ }}{{ self._TemplateReference__context }}",
    "{{ eos_token.__class__.__init__.__globals__ }}",
]
LEAKS = ("<class", "<built-in", "<function", "<module", "mro", "root:", "__", "object at", "<bound")


@pytest.mark.parametrize("payload", PAYLOADS)
def test_injected_code_is_rejected_or_has_no_effect(payload: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    payload = payload.replace("'X'", f"'touch {canary}'")
    with contextlib.suppress(InputError):
        text = rendered(payload)
        assert not any(sign in text for sign in LEAKS), text
    assert not canary.exists()
    assert (Message("user", "Hi"), Message("assistant", "Ho")) == MESSAGES


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            "{{ messages[:1] | tojson }}{{ {'a': '<é>'} | tojson(indent=1) }}",
            '[{"role": "user", "content": "Hi"}]{\n "a": "<é>"\n}',
        ),
        (
            (
                "{% for m in messages %}{% if loop.last %}{% break %}{% endif %}{{ m.role }}"
                "{% endfor %}"
            ),
            "user",
        ),
        (
            (
                "{% for m in messages if m.role == 'user' %}{{ loop.length }}{{ m.content }}"
                "{% else %}none{% endfor %}"
            ),
            "1Hi",
        ),
        ("{% set x %}{{ 'a' }}b{% endset %}{{ x | upper }}", "AB"),
        (
            (
                "{% macro f(a, b='c') %}{{ a ~ b }}{{ caller() if caller }}{% endmacro %}"
                "{{ f('x') }}{% call f('y') %}!{% endcall %}"
            ),
            "xcyc!",
        ),
        ("{{ 'a,b'.split(',') | join('+') }}{{ '%s-%d' % ('x', 3) }}", "a+bx-3"),
        ("{{ '{}{a}'.format(1, a=2) }}{{ '%s!' | format('x') }}", "12x!"),
        ("{{ messages | map(attribute='role') | join(', ') }}", "user, assistant"),
        ("{{ messages | selectattr('role', 'equalto', 'user') | list | length }}", "1"),
        ("{{ messages[::-1][0]['content'] }}{{ messages[1:] | length }}{{ (1, 2)[0] }}", "Ho11"),
        ("{{ 'x' if messages is defined and tools is none and not nothing }}", "x"),
        ("{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}{{ v }}{% endfor %}", "a1b2"),
        ("{{ [3, 1, 2] | sort | first }}{{ [1, 2] | sum }}{{ 7 // 2 }}{{ 'ab' * 2 }}", "133abab"),
        ("{{ ' a ' | trim }}{{ 'abc' | replace('b', 'x') }}{{ 'a' | indent(2, true) }}", "aaxc  a"),
        ("  {% if true %}\n  x\n  {% endif %}\ny\n", "  x\ny"),
        ("{% generation %}a{% endgeneration %}\nb", "ab"),
        (
            (
                "{{ dict(a=1)['a'] }}{% set n = namespace(i=0) %}"
                "{% for _ in range(3) %}{% set n.i = n.i + 1 %}{% endfor %}{{ n.i }}"
            ),
            "13",
        ),
        (
            (
                "{% for i in [1, [2, [3]]] recursive %}{{ loop(i) if i is sequence else i }}"
                "{% endfor %}"
            ),
            "123",
        ),
    ],
)
def test_what_chat_templates_use_works(source: str, expected: str) -> None:
    assert rendered(source) == expected
