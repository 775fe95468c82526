"""`python -m benchmarks.gpu_smoke`."""

import sys

from benchmarks.gpu_smoke.command import main

if __name__ == "__main__":
    sys.exit(main())
