"""Run every benchmark: ``python -m benchmarks``.

Larger logs: ``python -m benchmarks.audit --events 1000000`` and ``python -m benchmarks.verify 1000000``.
"""

from __future__ import annotations

from benchmarks import audit, fire, fire_postgresql, pickup, verify

if __name__ == "__main__":  # the writers of a benchmark are processes of their own, which import this
    fire.main()
    fire_postgresql.main()
    pickup.main()
    audit.main()
    verify.main()
