"""``proofgap completion``: completion scripts for shells, made from the tree of commands."""

from __future__ import annotations

from typing import Literal

from cyclopts import App

from proofgap_app.cli import output

app = App(
    name="completion",
    help="Print a completion script for a shell.",
    help_prologue="""Examples:
  proofgap completion bash > ~/.local/share/bash-completion/completions/proofgap
  proofgap completion zsh > "${fpath[1]}/_proofgap"
  proofgap completion fish > ~/.config/fish/completions/proofgap.fish
""",
)


@app.default
def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print a completion script for a shell.

    Args:
        shell: bash, zsh or fish.

    """
    from proofgap_app.cli.root import app as root  # noqa: PLC0415 - the tree imports this module

    for line in root.generate_completion(prog_name="proofgap", shell=shell).splitlines():
        output.raw(line)
    return 0
