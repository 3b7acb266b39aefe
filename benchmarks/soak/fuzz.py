"""Settings and flags of any kind: a command starts, or says in a line why it does not.

No environment is made, and no network is built: what would start is not let run.
"""

import datetime
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Sequence
from typing import NamedTuple

import hypothesis
from hypothesis import strategies as st

from benchmarks.soak import ending, outcome, samples
from planet.control.planners import PLANNERS
from planet.scripts import (
    analyse_latents,
    ceiling,
    compile_histograms,
    compile_scores,
    configs,
    create_video,
    diagnose,
    evaluate,
    export,
    fetch_events,
    plot_scores,
    random_returns,
    rules,
    tasks,
    train,
)
from planet.tools import parameters


def run(
    tries: int, folder: pathlib.Path, progress: outcome.Progress
) -> outcome.Outcome:
    """Tries settings and flags that Hypothesis draws; half of them of either kind."""
    checks = [Settings(folder), Flags(folder)]
    losses, counts = [], [0, 0]
    for index, check in enumerate(checks):
        amount = tries // 2 + (index == 0) * (tries % 2)
        if not amount:
            continue

        @hypothesis.seed(index)
        @hypothesis.settings(
            max_examples=amount,
            database=None,
            deadline=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(check.cases())
        def attempt(case, check=check, index=index):
            counts[index] += 1
            if problem := check.problem(case):
                losses.append(f"{case}: {problem}")
            progress()

        attempt()
    tried = sum(counts)
    return outcome.Outcome(tried, tried - len(losses), losses)


class Settings:
    """Values of `--params`, as `train` checks them before it starts.

    Args:
      folder: where a command could write; nothing may appear in it.
    """

    def __init__(self, folder: pathlib.Path):
        self._folder = folder / "logdir"
        self._folder.mkdir()

    def cases(self) -> st.SearchStrategy:
        """Names of configs, and texts."""
        return st.tuples(st.sampled_from(list(configs.CONFIGS)), _texts())

    def problem(self, case: tuple[str, str]) -> str:
        """What is wrong with how settings are taken; empty if nothing is."""
        name, text = case
        try:
            params = parameters.parse(text, "--params")
            config = configs.load(name, params, self._folder, source="--params")
            train._check_checkpoint(config.checkpoint_to_load)
            rules.warn_of_short_horizons(config, tasks.load(config))
        except parameters.ParameterError as error:
            lines = str(error).splitlines()
            if len(lines) != 1 or len(lines[0]) > 1000:
                return f"{len(lines)} lines of {len(str(error))} characters"
        except Exception as error:  # Any other is what we look for.
            return f"{type(error).__name__}: {error}"
        return "files are left" if any(self._folder.iterdir()) else ""


def _texts() -> st.SearchStrategy[str]:
    """Texts that are YAML more or less."""
    key = st.sampled_from(
        [
            *configs.PARAMETERS,
            *(alias for x in configs.PARAMETERS.values() for alias in x.aliases),
        ]
    )
    anything = st.dictionaries(key | _scalars(), _values(), max_size=3)
    likely = st.lists(key, min_size=1, max_size=6, unique=True).flatmap(
        lambda keys: st.fixed_dictionaries({key: _likely(key) for key in keys})
    )
    mapping = (anything | likely).map(_flow)
    broken = st.tuples(mapping, st.integers(0, 80), st.text(max_size=3)).map(
        lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] :]
    )
    characters = st.characters(codec="utf-8") | st.characters(categories=["Cc", "Cs"])
    marks = st.text(alphabet="{}[]:,-?!&*|>'\"%@#\n ab1~.", max_size=40)
    return mapping | mapping | broken | st.text(characters) | marks | _bombs()


def _bombs() -> st.SearchStrategy[str]:
    """Short texts that stand for much, or for themselves."""
    depths = st.integers(1, 60)
    laughs = st.tuples(depths, st.integers(1, 9), st.sampled_from(["{}", "{{<<: {}}}"]))
    return st.one_of(
        laughs.map(lambda x: _laughs(*x)),
        st.integers(1, 20_000).map(lambda depth: "{tasks: " + "[" * depth),
        st.integers(1, 3000).map(lambda x: f"{{seed: {'[' * x}{']' * x}}}"),
        st.integers(1, 10_000).map(lambda digits: f"{{seed: {'9' * digits}}}"),
        st.integers(1, 10_000).map(lambda digits: f"{{seed: 0x{'f' * digits}}}"),
        st.integers(1, 10_000).map(lambda size: f"{{{'a' * size}: {'b' * size}}}"),
        st.sampled_from(["tasks: &a [*a]", "&a {tasks: *a}", "? &a [*a]\n: 1"]),
    )


def _laughs(depth: int, width: int, form: str) -> str:
    lines = ["seed: &a0 {x: ha}"]
    for level in range(1, depth):
        inside = form.format(f"[{', '.join([f'*a{level - 1}'] * width)}]")
        lines.append(f"key{level}: &a{level} {inside}")
    return "\n".join([*lines, f"tasks: *a{depth - 1}"])


def _scalars() -> st.SearchStrategy[str]:
    """Scalars of YAML, as text."""
    odd = [".nan", ".inf", "-.inf", "1e400", "1e-400", "0o17", "0x1f", "1_000", "~"]
    odd += ["null", "", "yes", "off", "True", "1:30:00", "<<", "=", "1e18", "1e19"]
    odd += ["!!binary aGFoYQ==", "!!set {a, b}", "!!omap [a: 1]", "!!pairs [a: 1]"]
    odd += ["!!bool x", "!!int x", "!!float x", "!!timestamp x", "!!binary é", "!x y"]
    odd += ["!!python/object/apply:os.abort []", "2001-01-01", "2001-99-99", "-0.0"]
    odd += ["'3'", "'\\u0000'", '"\\0"', '"\\e[31m"', "*unknown", "&anchor x", "%TAG"]
    return st.one_of(
        st.sampled_from(odd),
        st.integers().map(str),
        st.floats().map(
            lambda x: repr(x).replace("inf", ".inf").replace("nan", ".nan")
        ),
        st.booleans().map(json.dumps),
        st.text(max_size=8).map(json.dumps),
        st.dates(datetime.date(1, 1, 1)).map(str),
        st.sampled_from([*PLANNERS, *configs.MODELS, "dummy", "all", "image", "state"]),
    )


def _values() -> st.SearchStrategy[str]:
    """Values of YAML, as text in flow style."""
    return st.recursive(
        _scalars(),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda x: f"[{', '.join(x)}]"),
            st.dictionaries(_scalars(), inner, max_size=3).map(_flow),
        ),
        max_leaves=6,
    )


def _likely(key: str) -> st.SearchStrategy[str]:
    """Values that a setting takes, or almost."""
    numbers = st.sampled_from(["-1", "0", "1", "2", "3", "10", "0.5", "1.0", "1e18"])
    words = {
        "model": st.sampled_from([*configs.MODELS, "rsm", "no.such:Cell", "os:system"]),
        "planner": st.sampled_from(
            [*PLANNERS, "cme", "no.such:plan", "os:system", ":"]
        ),
        "network": st.sampled_from(
            ["conv_ha", "no.such.module", "this", "os.path", "."]
        ),
        "tasks": st.lists(
            st.sampled_from(
                ["dummy", "cup_catch", "gym_qbert", "reacher_easy", "os:abort"]
            )
            | st.sampled_from(
                ["no_such:task", "..:x", "sys:exit", "cartpole_balance_da"]
            ),
            max_size=3,
        ).map(lambda names: json.dumps(names)),
        "checkpoint_to_load": st.sampled_from(
            ["nowhere", "'/'", "''", "'" + "a" * 5000 + "'", '"a\\0b"', "agents"]
        ),
    }
    words["tap_cell"] = words["model"]
    default = configs.PARAMETERS[key].default if key in configs.PARAMETERS else None
    usual = st.just(json.dumps(default))
    common = st.one_of(
        usual,
        numbers,
        st.lists(numbers, max_size=3).map(lambda x: f"[{', '.join(x)}]"),
        st.sampled_from(["null", "true", "false", "'3'", "[[1]]", "{}", "[null]"]),
        st.sampled_from(["{dummy: 3}", "{dummy: 0}", "[image]", "[reward, position]"]),
    )
    return words[key] | common if key in words else common


def _flow(mapping: dict[str, str]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in mapping.items()) + "}"


class Script(NamedTuple):
    """A command, and what is needed for it to end at once.

    Attributes:
      main: its main function.
      flags: flags and positions, each with the kind of its values, see `Flags`.
      base: arguments to begin with.
      ends: choices of arguments that end it, whatever went before; none if it is
        quick.
    """

    main: Callable[[Sequence[str]], int]
    flags: dict[str, str]
    base: tuple[str, ...]
    ends: tuple[tuple[str, ...], ...] = ()


_RUN = "runs/label/00001"
_UNKNOWN = ("--no_such_flag",)
_SETTINGS = {"--params": "settings", "--tasks": "words", "--seed": "number"}
SCRIPTS = {
    "train": Script(
        train.main,
        {
            "--logdir": "path",
            "--config": "words",
            "--params": "settings",
            "--num_runs": "number",
            "--resume_runs": "words",
            "--ping_every": "number",
        },
        ("--logdir", "new"),
        (
            _UNKNOWN,
            ("--config", "nope"),
            ("--params", "{cem_amount: 0}"),
            ("--params", "{checkpoint_to_load: nowhere}"),
            ("--num_runs", "0"),
        ),
    ),
    "evaluate": Script(
        evaluate.main,
        {
            **_SETTINGS,
            "--logdir": "path",
            "--checkpoint": "number",
            "--episodes": "number",
            "--num_agents": "number",
            "--horizon": "number",
            "--output": "path",
            "--video": "path",
            "--format": "words",
            "--overwrite": "",
        },
        ("--logdir", _RUN),
        (_UNKNOWN, ("--checkpoint", "7"), ("--params", "{cem_amount: 0}")),
    ),
    "export": Script(
        export.main,
        {"--logdir": "path", "--checkpoint": "number", "--output": "path"},
        ("--logdir", _RUN, "--output", "new"),
        (_UNKNOWN, ("--checkpoint", "7")),
    ),
    "diagnose": Script(
        diagnose.main,
        {
            "": "path",
            "--output": "path",
            "--checkpoint": "number",
            "--phase": "words",
            "--newest": "number",
            "--distances": "number",
            "--episodes": "number",
            "--overwrite": "",
        },
        (_RUN,),
        (_UNKNOWN, ("--episodes", "-1"), ("--phase", "tset")),
    ),
    "ceiling": Script(
        ceiling.main,
        {
            "--task": "words",
            "--horizon": "number",
            "--amount": "number",
            "--topk": "number",
            "--episodes": "number",
            "--output": "path",
            "--warm_start": "",
            "--overwrite": "",
        },
        ("--task", "cartpole_balance"),
        (_UNKNOWN, ("--task", "dummy"), ("--amount", "3", "--topk", "4")),
    ),
    "random_returns": Script(
        random_returns.main,
        {
            "--tasks": "words",
            "--episodes": "number",
            "--num_envs": "number",
            "--action_repeat": "number",
            "--seed": "number",
            "--output": "path",
            "--overwrite": "",
        },
        ("--tasks", "dummy"),
        (_UNKNOWN, ("--tasks", "nope"), ("--episodes", "0")),
    ),
    "tasks": Script(tasks.main, {"": "words"}, ()),
    "analyse_latents": Script(
        analyse_latents.main,
        {"": "path", "--output": "path", "--components": "number", "--overwrite": ""},
        ("runs",),
    ),
    "compile_scores": Script(
        compile_scores.main,
        {"": "path", "--x": "words", "--overwrite": ""},
        ("runs", "new.json"),
    ),
    "compile_histograms": Script(
        compile_histograms.main, {"": "path", "--overwrite": ""}, ("runs", "new.json")
    ),
    "fetch_events": Script(
        fetch_events.main,
        {
            "--logdir": "path",
            "--output": "path",
            "--runs": "words",
            "--tags": "words",
            "--overwrite": "",
        },
        ("--logdir", "runs", "--output", "new"),
    ),
    "create_video": Script(
        create_video.main,
        {
            "": "path",
            "--logdir": "path",
            "--tag": "words",
            "--runs": "words",
            "--steps": "words",
            "--output": "path",
            "--columns": "number",
            "--scale": "number",
            "--fps": "number",
            "--overwrite": "",
        },
        ("--logdir", "runs", "--tag", samples.GIF_TAG, "--output", "new.gif"),
    ),
    "plot_scores": Script(
        plot_scores.main,
        {
            "": "path",
            "--output": "path",
            "--labels": "words",
            "--metrics": "words",
            "--x": "words",
            "--baseline": "path",
            "--task": "words",
            "--title": "words",
            "--smooth": "number",
            "--max_epoch": "number",
            "--overwrite": "",
        },
        ("scores.json", "--output", "new.svg"),
    ),
}


class Flags:
    """Arguments of every command, in a folder with something to work on.

    Args:
      folder: receives the folder in which commands run.
    """

    def __init__(self, folder: pathlib.Path):
        self._whole, self._place = folder / "samples", folder / "deep" / "place"
        self._whole.mkdir()
        self._place.parent.mkdir()
        samples.write(self._whole)

    def cases(self) -> st.SearchStrategy:
        """Names of commands, and arguments."""
        return st.sampled_from(list(SCRIPTS)).flatmap(
            lambda name: st.tuples(st.just(name), _arguments(SCRIPTS[name]))
        )

    def problem(self, case: tuple[str, list[str]]) -> str:
        """What is wrong with how a command ends; empty if nothing is."""
        name, arguments = case
        shutil.copytree(self._whole, self._place)
        before, here = self._names(), pathlib.Path.cwd()
        os.chdir(self._place)
        try:
            end = ending.end(SCRIPTS[name].main, arguments)
            if end.code != 0 and not end.problem and self._names() != before:
                return "files are left"
        finally:
            os.chdir(here)
            shutil.rmtree(self._place)
        return end.problem

    def _names(self):
        return sorted(self._place.parent.rglob("*"))


def _arguments(script: Script) -> st.SearchStrategy[list[str]]:
    """Arguments of a command, of which some may be what it wants."""
    given = st.sampled_from(list(script.flags)).flatmap(
        lambda flag: _VALUES[script.flags[flag]].map(
            lambda values: [*([flag] if flag else []), *values]
        )
    )
    wild = _VALUES["words"] | _VALUES["path"] | st.just(["--"]) | st.just(["--help"])
    several = st.lists(given | given | given | wild, max_size=4)
    base = st.just([*script.base]) | st.just([*script.base]) | st.just([])
    end = st.sampled_from(script.ends or ((),)).map(list)
    return st.tuples(base, several, end).map(
        lambda parts: [*parts[0], *(x for part in parts[1] for x in part), *parts[2]]
    )


def _some(*words: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(words), min_size=1, max_size=2)


# Nothing here may lead out of the folder, and not to where something is to be written
# that another could miss. Arguments of a process have no zero, but halves of letters.
_LETTERS = st.characters(codec="utf-8", exclude_characters="\0/~.") | st.characters(
    min_codepoint=0xDC80, max_codepoint=0xDCFF, categories=["Cs"]
)
_WORDS = st.text(_LETTERS, max_size=9).map(lambda word: [word])
_VALUES = {
    "": st.just([]),
    "number": st.one_of(
        _some("-1", "0", "1", "2", "3.5", "1e3", "nan", "inf", "-inf", "1e400", "0x10"),
        _some("1" * 19, "1" * 5000, "999999", "٣", "1_000", " 2 ", "best", "True"),
        st.integers().map(lambda x: [str(x)]),
        _WORDS,
    ),
    "path": st.one_of(
        _some("runs", "runs/label", _RUN, "scores.json", "baseline.json", "film.gif"),
        _some("new", "new/er", "new.json", "new.csv", "new.png", "new.svg", "new.gif"),
        _some("", " ", "~nobody-is-called-so/a", "scores.json/a", "a" * 300, "new.mp4"),
        _some("/dev/null/a.json", "missing/new.json", "\udcff.json", "\udcff.svg"),
        _WORDS,
    ),
    "words": st.one_of(
        _some("dummy", "all", "image", "test_score", "label", "label/*", "*", "[", "?"),
        _some("steps", "minutes", "epochs", "loss", "film", "test/*", "gif", "last"),
        _some("$\\frac{", "%s", "{}", "\x1b[31m", "\n", "True", "default", "debug"),
        _some("os:abort", "no_such:task", "..:x", "gym_qbert", "label*", "train", "-"),
        _WORDS,
    ),
    "settings": _texts().map(lambda text: [text.replace("\0", "")]),
}
