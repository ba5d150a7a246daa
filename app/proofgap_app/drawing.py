"""From DOT text to SVG and PNG, by the program that ships as the extra ``diagrams``.

Owns the way to that program. Refuses to know what is drawn (`proofgap.diagram`) and where it is kept.
graphviz-pure brings its own fonts and layout, so it writes the same bytes everywhere. A system Graphviz is taken when
there is nothing else; its bytes depend on its version and on the fonts of the machine, and `Program.exact` says so.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from proofgap.diagram import ExtraMissingError
from proofgap.errors import ProofgapError

TIME_SECONDS_MAX = 30.0
_NAME = "graphviz-pure"


class Picture(StrEnum):
    """The forms of a picture."""

    SVG = "svg"
    PNG = "png"


class Program(NamedTuple):
    """A program that draws, and whether it writes the same bytes on every machine."""

    path: str
    exact: bool


class DrawingError(ProofgapError):
    """The program that draws failed. Nothing was written."""

    remedy = 'Try the other formats, or bring the program up to date: pip install --upgrade "proofgap[diagrams]".'

    def __init__(self, program: str, problem: str) -> None:
        """Name the program and what it said."""
        self.program, self.problem = program, problem
        super().__init__(f"{program} could not draw: {problem}. {self.remedy}")


def find_program() -> Program:
    """Find graphviz-pure beside this interpreter or on the PATH, else a system ``dot``.

    Raises:
        ExtraMissingError: there is neither.

    """
    beside = shutil.which(_NAME, path=str(Path(sys.executable).parent))
    if ours := beside or shutil.which(_NAME):
        return Program(ours, exact=True)
    if theirs := shutil.which("dot"):
        return Program(theirs, exact=False)
    raise ExtraMissingError("diagrams", _NAME)


def draw(dot: str, form: Picture, program: Program | None = None) -> bytes:
    """Draw DOT text.

    Raises:
        ExtraMissingError: there is no program to draw with.
        DrawingError: the program failed, or took longer than 30 seconds.

    """
    path = (program or find_program()).path
    arguments = [path, f"-T{form}", *(["-Gdpi=144"] if form is Picture.PNG else [])]
    try:
        done = subprocess.run(arguments, input=dot.encode(), capture_output=True, timeout=TIME_SECONDS_MAX, check=False)  # noqa: S603 - no shell, fixed arguments
    except subprocess.TimeoutExpired:
        raise DrawingError(path, f"it took longer than {TIME_SECONDS_MAX:.0f} seconds") from None
    except OSError as error:
        raise DrawingError(path, error.strerror or type(error).__name__) from error
    if done.returncode != 0 or not done.stdout:
        said = done.stderr.decode(errors="replace").strip() or "it said nothing"
        raise DrawingError(path, f"exit status {done.returncode}, {said}")
    return done.stdout
