"""Whoever executes runs: `restore` takes one run from a plan to its evidence."""
