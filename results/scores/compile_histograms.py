"""The original's command for planet.scripts.compile_histograms.

python results/scores/compile_histograms.py PARENT OUT.json
"""

import sys

import checkout  # noqa: F401

from planet.scripts import compile_histograms

if __name__ == "__main__":
    sys.exit(compile_histograms.main())
