"""Packaging of planet; tool settings are in pyproject.toml."""

import itertools
import pathlib
import re

import setuptools

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(
    r'__version__ = "(.+)"', (ROOT / "planet" / "__init__.py").read_text()
).group(1)
ENVIRONMENTS = {
    "atari": ["ale-py>=0.12,<0.13"],  # Since 0.12, with the games.
    "box2d": ["gymnasium[box2d]>=1.4,<1.5"],  # Car racing.
    "classic-control": ["gymnasium[classic-control]>=1.4,<1.5"],  # Draws pendulums.
    "gym": [  # Environments of gymnasium's predecessor.
        "gym==0.26.2",
        "pygame-ce>=2.5,<3",  # Draws them; its own choice is not maintained either.
    ],
}
MP4 = "av>=17,<19"  # Writes videos as MP4.

setuptools.setup(
    name="planet",
    version=VERSION,
    description="Learning latent dynamics for planning from pixels, in TensorFlow 2",
    license="Apache-2.0",
    packages=setuptools.find_packages(include=["planet", "planet.*"]),
    python_requires=">=3.10,<3.13",  # dm_control needs labmaze: no wheels for 3.13.
    install_requires=[
        "tensorflow>=2.21,<2.22",
        "tensorflow-probability>=0.25,<0.26",  # Distributions.
        "tf-keras>=2.21,<2.22",  # TensorFlow Probability imports it; must match TF.
        "tensorboard>=2.20,<2.22",  # Shows the events of a run.
        "dm_control>=1.0.50,<1.1",  # Tasks.
        "mujoco>=3.17,<4",  # dm_control breaks with 4.0, though it would accept it.
        "gymnasium[mujoco]>=1.4,<1.5",  # The interface of environments, and a cheetah.
        "shimmy[dm-control]>=2.0.1,<3",  # dm_control as gymnasium environments.
        "numpy>=2.1,<3",
        "ml_collections>=1.1,<2",  # Settings.
        "ruamel.yaml>=0.19,<0.20",  # Reads and writes settings, as YAML 1.2.
        "pillow>=12,<14",  # Resizes images, writes GIFs.
        "tqdm>=4.70,<5",  # Progress line.
        "matplotlib>=3.10,<3.12",  # Plots.
        "scikit-learn>=1.7,<1.10",  # Linear readouts of states.
        "google-crc32c>=1.9,<2",  # Tells damaged event files, fast.
    ],
    extras_require={
        **ENVIRONMENTS,
        "mp4": [MP4],
        "test": [
            MP4,
            "hypothesis>=6.150,<7",
            "import-linter>=2.15,<3",  # Who may import whom.
            "pytest>=9,<10",
            "pytest-timeout>=2.4,<3",
            "pytest-xdist>=3.8,<4",  # Tests in two processes.
            "ruff>=0.17.5,<0.18",  # A new minor version may format differently.
            "websockets>=16,<18",  # Drives the browser that looks at TensorBoard.
            *itertools.chain.from_iterable(ENVIRONMENTS.values()),
        ],
    },
)
