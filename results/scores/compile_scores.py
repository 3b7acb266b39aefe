"""The original's command for planet.scripts.compile_scores.

python results/scores/compile_scores.py PARENT OUT.json
"""

import sys

import checkout  # noqa: F401

from planet.scripts import compile_scores

if __name__ == "__main__":
    sys.exit(compile_scores.main())
