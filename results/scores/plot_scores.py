"""The original's command for planet.scripts.plot_scores.

python results/scores/plot_scores.py SCORES.json --output PLOT.png PLOT.svg
"""

import sys

import checkout  # noqa: F401

from planet.scripts import plot_scores

if __name__ == "__main__":
    sys.exit(plot_scores.main())
