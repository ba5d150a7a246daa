"""``python -m proofgap_app``: the command line."""

from proofgap_app.cli import main

main()
