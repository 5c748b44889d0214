"""Seconds that the report of a finished run takes, explanations of ten clips and all.

    collab-asd run --supernodes 23 --set report=false --out RESULT_DIR
    python benchmarks/report.py RESULT_DIR

The page is drawn elsewhere; the run's own is left as it is.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from collab_asd.report.run_report import report


def main() -> None:
    """Draw it once, elsewhere."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("result_dir", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        page = report([args.result_dir], Path(out))
        print(f"{time.perf_counter() - start:.1f} s, page of {page.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
