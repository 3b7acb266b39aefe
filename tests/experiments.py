"""The table of experiments in README.md, which is the only one there is."""

import pathlib
import re

from planet.tools import parameters

README = pathlib.Path(__file__).parent.parent / "README.md"
ROW = re.compile(r"^\| ([^|`]+?) \| `(\w+)` \| `(\{.*\})` \|$", re.M)


def read():
    """Config and parameters of each experiment by its name."""
    table = README.read_text().partition("## Experiments\n")[2].partition("\n## ")[0]
    return {
        name: (config, parameters.parse(params, name))
        for name, config, params in ROW.findall(table)
    }
