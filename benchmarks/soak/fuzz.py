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
    runs,
    tasks,
    train,
)
from planet.tools import parameters


def run(
    tries: int, folder: pathlib.Path, progress: outcome.Progress
) -> outcome.Outcome:
    """Tries settings and flags that Hypothesis draws, as many of either kind."""
    half = tries // 2
    problems = [
        *_try(Settings(folder), tries - half, progress),
        *(_try(Flags(folder), half, progress) if half else ()),
    ]
    losses = [problem for problem in problems if problem]
    return outcome.Outcome(len(problems), len(problems) - len(losses), losses)


def _try(check, tries: int, progress: outcome.Progress) -> list[str]:
    """What was wrong with each case that was tried; empty where nothing was."""
    problems = []

    @hypothesis.settings(
        max_examples=tries,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(check.cases())
    def attempt(case):
        problem = check.problem(case)
        problems.append(f"{repr(case)[:1000]}: {problem}" if problem else "")
        progress()

    attempt()
    return problems


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
            params = runs.read_params([text])
            config = runs.new_config(name, params, self._folder)
            if config.checkpoint_to_load:
                runs.find_checkpoint(config.checkpoint_to_load)
            rules.warn_of_short_horizons(config, tasks.load(config))
        except parameters.ParameterError as error:
            lines = str(error).splitlines()
            if len(lines) != 1:
                return f"{len(lines)} lines"
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
        st.integers(1, 2000).map(lambda depth: "{tasks: " + "[" * depth),
        st.integers(1, 1000).map(lambda x: f"{{seed: {'[' * x}{']' * x}}}"),
        st.integers(1, 2000).map(lambda depth: "tasks:\n  " + "- " * depth),
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
    numbers = st.sampled_from(["0", "1", "2", "3", "10", "0.5", "1.0", "-1", "1e18"])
    words = {
        "model": st.sampled_from([*configs.MODELS, "rsm", "no.such:Cell", "os:abs"]),
        "planner": st.sampled_from([*PLANNERS, "cme", "no.such:plan", "os:abs", ":"]),
        "network": st.sampled_from(["conv_ha", "no.such.module", "os.path", "."]),
        "tasks": st.lists(_task_names(), max_size=3).map(json.dumps),
        "checkpoint_to_load": st.sampled_from(
            ["nowhere", "'/'", "''", "'" + "a" * 5000 + "'", '"a\\0b"', "agents"]
        ),
    }
    words["tap_cell"] = words["model"]
    default = configs.PARAMETERS[key].default if key in configs.PARAMETERS else None
    usual = st.just(json.dumps(default))
    common = st.one_of(
        usual,
        usual,
        numbers,
        numbers,
        st.lists(numbers, max_size=3).map(lambda x: f"[{', '.join(x)}]"),
        st.sampled_from(["null", "true", "false", "'3'", "[[1]]", "{}", "[null]"]),
        st.sampled_from(["{dummy: 3}", "{dummy: 0}", "[image]", "[reward, position]"]),
    )
    return words[key] | common if key in words else common


def _task_names() -> st.SearchStrategy[str]:
    good = ["dummy", "cup_catch", "gym_qbert", "reacher_easy", "cartpole_balance_da"]
    bad = ["os:abort", "no_such:task", "..:x", "sys:exit", "all", ""]
    return st.sampled_from(good * 3 + bad)


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
            "--tasks": "words",
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
        ("runs/label",),
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
    """Arguments of a command, most of which are what it wants."""
    flags = st.sampled_from(list(script.flags))
    right = flags.flatmap(lambda flag: _given(flag, _RIGHT[script.flags[flag]]))
    wrong = flags.flatmap(lambda flag: _given(flag, _WRONG[script.flags[flag]]))
    stray = st.sampled_from([["--"], ["--help"], ["--overwrite"], ["-"]]) | _WORDS
    several = st.lists(right, max_size=3) | st.lists(right | wrong | stray, max_size=3)
    base = st.sampled_from([script.base, script.base, script.base, ()])
    end = st.sampled_from(script.ends or ((),))
    return st.tuples(base, several, end).map(
        lambda parts: [*parts[0], *(x for part in parts[1] for x in part), *parts[2]]
    )


def _given(flag: str, values: st.SearchStrategy) -> st.SearchStrategy[list[str]]:
    """A flag, or a position without one, with its values."""
    return values.map(lambda words: [*([flag] if flag else []), *words])


def _one(*words: str) -> st.SearchStrategy[list[str]]:
    return st.sampled_from(words).map(lambda word: [word])


# Nothing here may lead out of the folder. Arguments of a process have no zeros, but
# they may have halves of letters.
_LETTERS = st.characters(codec="utf-8", exclude_characters="\0/~.") | st.characters(
    min_codepoint=0xDC80, max_codepoint=0xDCFF, categories=["Cs"]
)
_WORDS = st.text(_LETTERS, max_size=9).map(lambda word: [word])
_RIGHT = {
    "": st.just([]),
    "number": _one("1", "2", "3", "10", "999999", "100000000000"),
    "path": st.one_of(
        _one("runs", "runs/label", _RUN, "scores.json", "baseline.json", "film.gif"),
        _one("new", "new/er", "new.json", "new.csv", "new.png", "new.svg", "new.gif"),
    ),
    "words": st.one_of(
        _one("dummy", "all", "image", "test_score", "label", "label/*", "*", "steps"),
        _one("minutes", "epochs", "film", "test/*", "gif", "last", "True", "default"),
    ),
    "settings": _texts().map(lambda text: [text.replace("\0", "")]),
}
_WRONG = {
    "": _WORDS,
    "number": st.one_of(
        _one("-1", "0", "3.5", "1e3", "nan", "inf", "-inf", "1e400", "0x10", "best"),
        _one("1" * 19, "1" * 5000, "٣", "1_000", " 2 ", "True", "1e-400", ""),
        st.integers().map(lambda x: [str(x)]),
        _WORDS,
    ),
    "path": st.one_of(
        _one("", " ", "~nobody-is-called-so/a", "scores.json/a", "a" * 300, "new.mp4"),
        _one("/dev/null/a.json", "missing/new.json", "\udcff.json", "\udcff.svg"),
        _WORDS,
    ),
    "words": st.one_of(
        _one("$\\frac{", "%s", "{}", "\x1b[31m", "\n", "[", "?", "label*", "loss", "-"),
        _one("os:abort", "no_such:task", "..:x", "gym_qbert", "debug", "train"),
        _WORDS,
    ),
    "settings": _WORDS,
}
