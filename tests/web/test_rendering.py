"""Nothing is printed unescaped, and nothing that nobody can see."""

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from proofgap_app.web.pages.rendering import environment, lines

HOSTILE = "<b onclick=\"x\" title='y'>&\u202e\n</b>"
SAID = "&lt;b onclick=&quot;x&quot; title=&#x27;y&#x27;&gt;&amp;\\u202e\\x0a&lt;/b&gt;"


def printed(text, **values):
    return environment().from_string(text).render(values)


@pytest.mark.parametrize(
    "template",
    [
        "{{ value }}",
        "{% set kept = value %}{{ kept }}",
        "{% set kept %}{{ value }}{% endset %}{{ kept }}",
        "{% macro told(one) %}{{ one }}{% endmacro %}{{ told(value) }}",
        "{% for one in [value] %}{{ one }}{% endfor %}",
        "{% filter trim %}{{ value }}{% endfilter %}",
        "{{ [value]|join }}",
        "{% autoescape false %}{{ value }}{% endautoescape %}",
    ],
)
def test_text_is_escaped_once_wherever_a_template_prints_it(template):
    assert printed(template, value=HOSTILE) == SAID


def test_text_that_a_template_states_itself_is_escaped_as_well():
    assert printed("{{ '<' }}{{ 1 }}{{ none }}") == "&lt;1None"


def test_what_is_no_text_is_written_and_then_escaped():
    class Hostile:
        def __str__(self):
            return HOSTILE

    assert printed("{{ value }}", value=Hostile()) == SAID


def test_markup_of_ours_stays_as_it_is():
    assert printed("{{ value }}", value=Markup("<i>1</i>")) == "<i>1</i>"


def test_what_says_how_it_is_written_as_markup_is_written_like_that_and_not_as_its_text():
    class Drawn:
        def __html__(self):
            return "<i>1</i>"

        def __str__(self):
            return HOSTILE

    assert printed("{{ value }}", value=Drawn()) == "<i>1</i>"


def test_a_name_that_is_not_there_is_an_error():
    with pytest.raises(UndefinedError, match="unknown"):
        printed("{{ unknown }}")
    with pytest.raises(UndefinedError, match="missing"):
        printed("{{ value.missing }}", value="text")


def test_lines_stay_lines_and_all_else_in_them_is_escaped():
    assert lines("a<b\n\u202e\tc\n") == "a&lt;b\n\\u202e\\x09c\n"
    assert printed("{{ lines(value) }}", value="<\n>") == "&lt;\n&gt;"
