"""Record the traces of ``tests/unit/traces`` anew: ``python tests/integration/make_traces.py``, as root.

To be done when the records of a trace change their form (TRACE_VERSION), or the columns of the CSVs.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from test_observe_downtime import BOTH
from test_observe_downtime import record as record_downtime
from test_observe_replay import CASES, record

TRACES = Path(__file__).parents[2] / "unit" / "traces"


def main() -> None:
    """Each case once, and the migrations whose destinations run the guest."""
    for name in CASES:
        with tempfile.TemporaryDirectory() as made:
            trace = record(name, Path(made))
            shutil.rmtree(TRACES / name, ignore_errors=True)
            for file in (Path(made) / "live").rglob("*.csv"):
                kept = TRACES / name / file.relative_to(Path(made) / "live")
                kept.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, kept)
            shutil.copyfile(trace, TRACES / trace.name)
        print(name)
    for level in BOTH:
        with tempfile.TemporaryDirectory() as made:
            trace, _ = record_downtime(level, Path(made))
            kept = TRACES / "downtime" / str(level)
            kept.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(trace, kept / "trace")
            (table,) = (Path(made) / "live").rglob("downtime.csv")
            shutil.copyfile(table, kept / "downtime.csv")
        print(f"downtime, {level}")


if __name__ == "__main__":
    main()
