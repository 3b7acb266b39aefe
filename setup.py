"""Packaging of planet; tool settings are in pyproject.toml."""

import itertools
import pathlib
import re

import setuptools

ROOT = pathlib.Path(__file__).parent


def read(path, name):
    """Reads a constant of a module, whose requirements may not be installed yet."""
    return re.search(f'^{name} = "(.+)"', (ROOT / path).read_text(), re.M).group(1)


# dm_control requires labmaze, which cannot be installed for Python 3.13 and which no
# task uses. There, we require all its other requirements, and `make venv` installs it.
CONTROL_SUITE = [
    f"{read('planet/control/envs/suite.py', 'REQUIREMENT')}; python_version < '3.13'",
    *(
        f"{requirement}; python_version >= '3.13'"
        for requirement in (
            "absl-py>=2,<3",
            "dm-env>=1.6,<2",
            "dm-tree>=0.1.10,<0.2",
            "glfw>=2.10,<3",
            "lxml>=6,<7",
            "protobuf>=6,<8",
            "pyopengl>=3.1.10,<3.2",
            "pyparsing>=3,<4",
            "requests>=2.32,<3",
            "scipy>=1.15,<2",
        )
    ),
]
PYGAME = "pygame-ce>=2.5,<3"
ENVIRONMENTS = {
    "atari": ["ale-py>=0.12,<0.13"],  # Includes the games since 0.12.
    "box2d": ["gymnasium[box2d]>=1.4,<1.5"],  # Car racing.
    "classic-control": ["gymnasium[classic-control]>=1.4,<1.5"],  # Draws pendulums.
    "gym": [  # Environments of gymnasium's predecessor.
        "gym==0.26.2",
        PYGAME,  # Draws them; gym's choice, pygame, is not maintained.
    ],
}
COMMANDS = {
    "analyse-latents": "analyse_latents",
    "ceiling": "ceiling",
    "create-video": "create_video",
    "diagnose": "diagnose",
    "evaluate": "evaluate",
    "export": "export",
    "fetch-events": "fetch_events",
    "histograms": "compile_histograms",
    "play": "play",
    "plot": "plot_scores",
    "random-returns": "random_returns",
    "report": "report",
    "scores": "compile_scores",
    "sweep": "sweep",
    "tasks": "tasks",
    "train": "train",
}
MP4 = "av>=17,<19"  # Writes videos as MP4.
RAY = ">=2.60,<2.61"
# Datasets of episodes. Before 0.5.4, images lost quality; it needs Python 3.11.
MINARI = "minari[hdf5]>=0.5.4,<0.6; python_version >= '3.11'"

setuptools.setup(
    name="planet",
    version=read("planet/__init__.py", "__version__"),
    description="Learning latent dynamics for planning from pixels, in TensorFlow 2",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    project_urls={"Paper": "https://arxiv.org/abs/1811.04551"},
    keywords=[
        "PlaNet",
        "latent dynamics",
        "model-based reinforcement learning",
        "planning",
        "world models",
    ],
    classifiers=[
        "Environment :: Console",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 14)),
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    packages=setuptools.find_packages(include=["planet", "planet.*"]),
    package_data={"planet.scripts": ["report.html"]},
    python_requires=">=3.10,<3.14",  # TensorFlow has no wheel for 3.14.
    install_requires=[
        "tensorflow>=2.21,<2.22",
        "tensorflow-probability>=0.25,<0.26",  # Distributions.
        "tf-keras>=2.21,<2.22",  # TensorFlow Probability imports it; must match TF.
        "tensorboard>=2.20,<2.22",  # Shows the events of a run.
        *CONTROL_SUITE,  # Tasks.
        "mujoco>=3.17,<4",  # dm_control breaks with 4.0, though it would accept it.
        "gymnasium[mujoco]>=1.4,<1.5",  # The environment interface, and a cheetah.
        "shimmy>=2.0.1,<3",  # dm_control as gymnasium environments.
        "numpy>=2.1,<3",
        "ml_collections>=1.1,<2",  # Settings.
        "ruamel.yaml>=0.19,<0.20",  # Reads and writes settings, as YAML 1.2.
        "pillow>=12,<14",  # Resizes images, writes GIFs.
        "psutil>=7,<8",  # Free memory; processes that Ray starts.
        "tqdm>=4.70,<5",  # Progress line.
        "matplotlib>=3.10,<3.12",  # Plots.
        "scikit-image>=0.25,<0.27",  # How alike images are.
        "scikit-learn>=1.7,<1.10",  # Linear readouts of states.
        "jinja2>=3.1,<4",  # Reports, as HTML.
        "google-crc32c>=1.9,<2",  # Detects damaged event files, fast.
    ],
    entry_points={
        "console_scripts": [
            f"planet-{command} = planet.scripts.{module}:main"
            for command, module in COMMANDS.items()
        ]
    },
    extras_require={
        **ENVIRONMENTS,
        "gpu": ["tensorflow[and-cuda]>=2.21,<2.22"],  # With what NVIDIA GPUs need.
        "minari": [MINARI],
        "mp4": [MP4],
        "play": [PYGAME],  # A window, and keys.
        "ray": [f"ray{RAY}"],  # Collectors on other machines.
        "sweep": [f"ray[tune]{RAY}", "optuna>=4,<6"],  # Many runs, on many machines.
        "test": [
            MINARI,
            MP4,
            "greenlet>=3.2,<4",  # A thousand simulated workers.
            "hypothesis>=6.150,<7",
            "import-linter>=2.15,<3",  # Who may import whom.
            "mypy>=2.4,<2.5",  # A new minor version may find more.
            "pytest>=9,<10",
            "pytest-timeout>=2.4,<3",
            "pytest-xdist>=3.8,<4",  # Tests in two processes.
            "ruff>=0.17.5,<0.18",  # A new minor version may format differently.
            "websockets>=16,<18",  # Drives the browser that looks at TensorBoard.
            *itertools.chain.from_iterable(ENVIRONMENTS.values()),
        ],
    },
)
