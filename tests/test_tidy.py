"""Style that matters and that no linter sees. Each rule is a function from sources to findings, shown to find some."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import tomllib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path

import pytest

from proofgap.claims import FORBIDDEN_CLAIMS

REPOSITORY = Path(__file__).parents[1]
ROOTS = ("fsm", "persistence", "app")
FUNCTION_LINES_MAX = 50
MODULE_LINES_MAX = 400
TEST_NAME_WORDS_MIN = 4
HOME_OF_FORBIDDEN_CLAIMS = "fsm/proofgap/claims.py"
ENTRY_POINTS = re.compile(
    r".*/__main__\.py|.*/__init__\.py|.*/migrations/(env|versions/\w+)\.py|app/proofgap_app/(demo|drivers/conformance)\.py"
)
WRITTEN = {".py", ".pyi", ".md", ".sql", ".html", ".css", ".js", ".json", ".toml", ".txt", ".svg", ".mmd", ".dot"}
NO_PLACE_FOR_TEXT = {"__pycache__", "node_modules"}
NOT_RUN = {"skip", "skipif", "xfail", "importorskip"}
EVERYTHING = {"Exception", "BaseException"}
AFTER_THE_COMMIT = "persistence/proofgap_store/gate.py"
IGNORES = re.compile(r"#\s*(noqa|type: ignore|pyright: ignore)")
IGNORES_WITH_REASON = re.compile(
    r"# noqa: [A-Z]+\d+(, [A-Z]+\d+)* - \w|# (type|pyright): ignore\[[\w-]+(, ?[\w-]+)*\]  # \w",
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Source:
    """One file, by its path from the root of the repository."""

    def __init__(self, path: str, text: str) -> None:
        self.path, self.text = path, text

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def module(self) -> str:
        """The name by which it is imported: without its root, and without ``__init__``."""
        return ".".join(Path(self.path).with_suffix("").parts[1:]).removesuffix(".__init__")

    def functions(self) -> Iterator[Function]:
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))

    def comments(self) -> Iterator[tuple[int, str]]:
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return ((token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT)


Findings = Iterator[str]
Rule = Callable[[Sequence[Source]], Findings]


def files(*places: str, suffixes: set[str]) -> list[Source]:
    found = chain.from_iterable(
        [REPOSITORY / place] if (REPOSITORY / place).is_file() else sorted((REPOSITORY / place).rglob("*"))
        for place in places
    )
    return [
        Source(str(path.relative_to(REPOSITORY)), path.read_text("utf-8"))
        for path in found
        if path.suffix in suffixes and path.is_file() and not NO_PLACE_FOR_TEXT & set(path.parts)
    ]


PRODUCT = files(*ROOTS, suffixes={".py"})
CORE = [source for source in PRODUCT if source.path.startswith("fsm/")]
DRIVERS = {
    value.partition(":")[0]
    for value in tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["entry-points"][
        "proofgap.drivers"
    ].values()
}
"""Modules that are loaded by their name in the metadata of the package."""
TESTS = files("tests", suffixes={".py"})
READ_BY_SOMEBODY = files(
    *ROOTS, "docs", "diagrams", "benchmarks", "tests", "README.md", "CHANGELOG.md", suffixes=WRITTEN
)


def long_functions(sources: Sequence[Source]) -> Findings:
    for source in sources:
        for function in source.functions():
            lines = (function.end_lineno or function.lineno) - function.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{source.path}: {function.name} has {lines} lines"


def long_modules(sources: Sequence[Source]) -> Findings:
    for source in sources:
        if (lines := len(source.text.splitlines())) > MODULE_LINES_MAX:
            yield f"{source.path} has {lines} lines"


def modules_without_docstring(sources: Sequence[Source]) -> Findings:
    return (source.path for source in sources if not ast.get_docstring(source.tree))


def forbidden_claims(sources: Sequence[Source]) -> Findings:
    """In the product the words are written once; elsewhere only where all of them are listed as forbidden."""
    for source in sources:
        said = [claim for claim in FORBIDDEN_CLAIMS if re.search(rf"\b{re.escape(claim)}\b", source.text)]
        is_product = source.path.startswith(tuple(f"{root}/" for root in ROOTS))
        is_list = source.path == HOME_OF_FORBIDDEN_CLAIMS if is_product else len(said) == len(FORBIDDEN_CLAIMS)
        if said and not is_list:
            yield f"{source.path} says {', '.join(said)}"


def orphans(sources: Sequence[Source]) -> Findings:
    """A module that no other module imports, and that is no entry point, is dead."""
    used = {name for source in sources for name in imports(source)} | DRIVERS
    return (source.path for source in sources if not ENTRY_POINTS.fullmatch(source.path) and source.module not in used)


def imports(source: Source) -> Iterator[str]:
    """Name every module that a source imports, by statement or by a text such as ``show:app`` or ``package.module:app``."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"[\w.]+:\w+", node.value):
            named = node.value.partition(":")[0]
            yield from (named, f"{source.module.rpartition('.')[0]}.{named}")


def any_in_signatures(sources: Sequence[Source]) -> Findings:
    """``Any`` as the type of an argument or a result switches the type checkers off for whoever calls."""
    for source in sources:
        lines = source.text.splitlines()
        for function in source.functions():
            head = "\n".join(lines[function.lineno - 1 : function.body[0].lineno - 1] or [lines[function.lineno - 1]])
            if any(map(is_any, annotations(function))) and "noqa: ANN401 - " not in head:
                yield f"{source.path}:{function.lineno}: {function.name}"


def annotations(function: Function) -> Iterator[ast.expr | None]:
    given = function.args
    for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg):
        yield argument and argument.annotation
    yield function.returns


def is_any(annotation: ast.expr | None) -> bool:
    return annotation is not None and ast.unparse(annotation) in {"Any", "typing.Any", "Any | None"}


def ignores_without_reason(sources: Sequence[Source]) -> Findings:
    for source in sources:
        for line, comment in source.comments():
            if IGNORES.search(comment) and not IGNORES_WITH_REASON.search(comment):
                yield f"{source.path}:{line}: {comment}"


def swallowing(sources: Sequence[Source]) -> Findings:
    """Who catches everything must raise it again; only the application, and a copy made after the commit, may not."""
    for source in sources:
        for node in ast.walk(source.tree):
            if str(source.path) == AFTER_THE_COMMIT:
                continue
            if isinstance(node, ast.ExceptHandler) and catches_everything(node) and not raises_again(node):
                yield f"{source.path}:{node.lineno}"


def catches_everything(handler: ast.ExceptHandler) -> bool:
    caught = handler.type
    return caught is None or any(isinstance(node, ast.Name) and node.id in EVERYTHING for node in ast.walk(caught))


def raises_again(handler: ast.ExceptHandler) -> bool:
    return isinstance(handler.body[-1], ast.Raise) and handler.body[-1].exc is None


def wordless_tests(sources: Sequence[Source]) -> Findings:
    for source in sources:
        for function in source.functions():
            words = function.name.split("_")[1:]
            if (
                function.name.startswith("test_")
                and len(words) < TEST_NAME_WORDS_MIN
                and not ast.get_docstring(function)
            ):
                yield f"{source.path}:{function.lineno}: {function.name}"


def skipped_tests(sources: Sequence[Source]) -> Findings:
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Attribute) and node.attr in NOT_RUN and ast.unparse(node).startswith("pytest."):
                yield f"{source.path}:{node.lineno}: {ast.unparse(node)}"


def holds(findings: Findings) -> None:
    """Fail with all findings, one in a line."""
    if found := list(findings):
        pytest.fail("\n".join(found), pytrace=False)


@pytest.mark.parametrize(
    ("rule", "path", "bad"),
    [
        (long_functions, "fsm/a.py", "def long():\n" + "    x = 1\n" * FUNCTION_LINES_MAX),
        (long_modules, "fsm/a.py", "x = 1\n" * (MODULE_LINES_MAX + 1)),
        (modules_without_docstring, "fsm/a.py", "x = 1\n"),
        (forbidden_claims, "app/a.py", f"MESSAGE = '{FORBIDDEN_CLAIMS[0]}'\n"),
        (forbidden_claims, "app/a.py", f"LIST = {FORBIDDEN_CLAIMS}\n"),
        (forbidden_claims, "docs/a.md", f"All is well: {FORBIDDEN_CLAIMS[1]}.\n"),
        (orphans, "fsm/proofgap/alone.py", "import os\n"),
        (any_in_signatures, "fsm/a.py", "def f(x: Any) -> None:\n    pass\n"),
        (any_in_signatures, "fsm/a.py", "def f(*, x: int = 0) -> Any:  # noqa: ANN401\n    pass\n"),
        (ignores_without_reason, "fsm/a.py", "x = 1  # noqa: ANN401\n"),
        (ignores_without_reason, "fsm/a.py", "x = 1  # noqa\n"),
        (ignores_without_reason, "fsm/a.py", "x = 1  # type: ignore[misc]\n"),
        (swallowing, "fsm/a.py", "try:\n    f()\nexcept Exception:\n    pass\n"),
        (swallowing, "fsm/a.py", "try:\n    f()\nexcept (KeyError, BaseException):\n    log()\n"),
        (swallowing, "fsm/a.py", "try:\n    f()\nexcept:\n    log()\n"),
        (wordless_tests, "tests/a.py", "def test_it_works():\n    pass\n"),
        (skipped_tests, "tests/a.py", "@pytest.mark.skip\ndef test_a():\n    pass\n"),
        (skipped_tests, "tests/a.py", "def test_a():\n    pytest.xfail('later')\n"),
    ],
)
def test_each_rule_finds_what_it_forbids(rule: Rule, path: str, bad: str) -> None:
    """A rule that cannot fail holds nothing."""
    assert len(list(rule([Source(path, bad)]))) == 1


@pytest.mark.parametrize(
    ("rule", "path", "good"),
    [
        (long_functions, "fsm/a.py", "def f():\n" + "    x = 1\n" * (FUNCTION_LINES_MAX - 1)),
        (long_modules, "fsm/a.py", "x = 1\n" * MODULE_LINES_MAX),
        (modules_without_docstring, "fsm/a.py", '"""What it owns."""\n'),
        (forbidden_claims, HOME_OF_FORBIDDEN_CLAIMS, f"LIST = {FORBIDDEN_CLAIMS}\n"),
        (forbidden_claims, "docs/a.md", f"Never said: {', '.join(FORBIDDEN_CLAIMS)}.\n"),
        (orphans, "app/proofgap_app/__main__.py", "import os\n"),
        (any_in_signatures, "fsm/a.py", "def f(x: Any) -> None:  # noqa: ANN401 - any JSON value\n    pass\n"),
        (ignores_without_reason, "fsm/a.py", "x = 1  # noqa: S101, ANN401 - a reason\n"),
        (ignores_without_reason, "fsm/a.py", "x = 1  # type: ignore[misc]  # a reason\n"),
        (ignores_without_reason, "fsm/a.py", "x = '# noqa'\n"),
        (swallowing, "fsm/a.py", "try:\n    f()\nexcept BaseException:\n    undo()\n    raise\n"),
        (wordless_tests, "tests/a.py", 'def test_it():\n    """It works."""\n'),
        (wordless_tests, "tests/a.py", "def test_what_is_late_is_refused():\n    pass\n"),
        (skipped_tests, "tests/a.py", "def test_a():\n    rows.skip(1)\n"),
    ],
)
def test_each_rule_allows_what_is_right(rule: Rule, path: str, good: str) -> None:
    """A rule that forbids what is right would be switched off."""
    assert not list(rule([Source(path, good)]))


def test_modules_are_found_by_every_way_of_importing() -> None:
    """An orphan is told from a module that is imported lazily, by its name in a table of commands."""
    user = Source(
        "app/proofgap_app/cli/root.py", "from proofgap import text\nimport proofgap.facts\nC = ['show:app', 'x.y:z']\n"
    )
    assert {"proofgap.text", "proofgap.facts", "proofgap_app.cli.show", "x.y"} <= set(imports(user))


def test_there_is_something_to_look_at() -> None:
    """The rules below would hold over no files at all."""
    assert {"proofgap.claims", "proofgap_store", "proofgap_app.cli"} <= {source.module for source in PRODUCT}
    assert "tests/test_tidy.py" in {source.path for source in TESTS}
    assert {HOME_OF_FORBIDDEN_CLAIMS, "README.md"} <= {source.path for source in READ_BY_SOMEBODY}


def test_no_function_is_too_long_to_be_read_at_once() -> None:
    holds(long_functions(PRODUCT))


def test_no_module_is_too_long_to_be_known() -> None:
    holds(long_modules(PRODUCT))


def test_every_module_says_what_it_owns() -> None:
    holds(modules_without_docstring([*PRODUCT, *TESTS]))


def test_forbidden_claims_are_written_where_they_are_forbidden_only() -> None:
    holds(forbidden_claims(READ_BY_SOMEBODY))


def test_every_module_is_used_or_an_entry_point() -> None:
    holds(orphans(PRODUCT))


def test_no_signature_of_the_core_switches_the_type_checkers_off() -> None:
    holds(any_in_signatures(CORE))


def test_everything_that_ignores_a_check_says_why() -> None:
    holds(ignores_without_reason(PRODUCT))


def test_nothing_is_swallowed_outside_the_application() -> None:
    holds(swallowing([source for source in PRODUCT if not source.path.startswith("app/")]))


def test_every_test_says_a_sentence() -> None:
    holds(wordless_tests(TESTS))


def test_every_test_is_run_everywhere() -> None:
    holds(skipped_tests(TESTS))
