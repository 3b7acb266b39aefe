import numpy as np
import PIL.Image
import pytest

from planet.scripts import tasks


def test_table(run_python):
    result = run_python("-m", "planet.scripts.tasks")
    assert result.returncode == 0, result.stderr
    header, rule, *rows = result.stdout.splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in rows]
    assert [row[0] for row in cells] == tasks.names()
    assert set(rule) == {"|", "-", " "}
    assert len({len(line) for line in (header, rule, *rows)}) == 1
    assert cells[tasks.names().index("gym_breakout")] == [
        "gym_breakout",
        "one of 4",
        "250",
        "",
        "grey image",
        "atari",
    ]
    horizon = str(tasks.load(tasks.Selection([tasks.names()[0]]))[0].horizon)
    seen = "image, position, velocity"
    assert cells[0][1:5] == ["1 number", "125", horizon, seen]


def facts(text):
    """What is said about a task, by name."""
    found, name = {}, ""
    for line in filter(None, text.splitlines()[2:]):
        name = line[2:19].strip() or name
        found.setdefault(name, []).append(line[20:])
    return {name: " ".join(lines) for name, lines in found.items()}


def test_given_tasks_are_described(run_python):
    users = "tests.control.user_envs"
    params = ("image_key=eye", "episode_steps=3000")
    result = run_python(
        "-m", "planet.scripts.tasks", f"{users}:camera", "--params", *params
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[:2] == [
        f"{users}:camera",
        "  Walks before a camera, with parameters of its own.",
    ]
    assert facts(result.stdout) == {
        "actions": "1 number",
        "own actions": "Box(-2.0, 2.0, (1,), float64)",
        "sees": "image, uint8 [64, 64, 3] position, float32 [1]",
        "own observations": "Dict('eye': Box(0.0, 1.0, (3, 24, 24), float32), "
        "'position': Box(-10.0, 10.0, (1,), float64))",
        "action repeat": "1",
        "episode": "at most 3000 decisions, 3000 steps of the environment, which "
        "itself does not say when they end; see episode_steps",
        "rendering": "without OpenGL",
    }


@pytest.mark.slow
def test_several_tasks_and_the_state(run_python):
    names = ("dmc:ball_in_cup_catch", "gym:Pendulum-v1")
    params = "{observations: state, action_repeats: {'gym:Pendulum-v1': 3}}"
    result = run_python("-m", "planet.scripts.tasks", *names, "--params", params)
    assert result.returncode == 0, result.stderr
    first, second = result.stdout.split("\n\ngym:")
    assert "\n  Ball-in-Cup Domain. Returns the Ball-in-Cup task.\n" in first
    assert facts(first)["sees"] == "state, float32 [8]"
    assert facts(first)["rendering"] == "without OpenGL"
    assert "  The inverted pendulum swingup problem is based on " in second
    assert facts(second)["action repeat"] == "3"
    assert facts(second)["episode"] == (
        "at most 67 decisions, 201 steps of the environment"
    )


@pytest.mark.parametrize(
    ("name", "params", "size"),
    [
        pytest.param(
            "tests.control.user_envs:camera",
            "{image_key: eye}",
            (5 * 65 * 4 - 4, 256),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "ale:Pong",
            "{env_params: {obs_type: grayscale}}",
            (5 * 65 * 4 - 4, 256),
            marks=pytest.mark.slow,
        ),
        ("dummy", "{observations: state}", (960, 480)),
    ],
)
def test_picture(name, params, size, run_main, tmp_path):
    path = tmp_path / "seen.png"
    command = (name, "--params", params, "--picture", path)
    code, out, err = run_main(tasks.main, *command)
    assert (code, err) == (0, "")
    assert out.endswith(f"\n\nThe picture is in {path}.\n")
    with PIL.Image.open(path) as picture:
        assert picture.size == size
        assert np.asarray(picture).std() > 10
    code, _, err = run_main(tasks.main, *command)
    assert (code, "exists; --overwrite replaces it" in err) == (2, True)
    assert [x.name for x in tmp_path.iterdir()] == ["seen.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--params", "{cem_amount: 3}"],
            "unknown parameter 'cem_amount' in --params; ",
        ),
        (
            ["--params", "{episode_steps: no}"],
            "episode_steps in --params must be a whole",
        ),
        (
            ["dummy", "--params", "{observations: pixels}"],
            "unknown observations 'pixels'",
        ),
        (["--picture", "x.png"], "--picture needs the name of one task, not 0"),
        (
            ["dummy", "--picture", "x.gif"],
            "argument --picture: 'x.gif' must end with .png",
        ),
        (
            ["tests.control.user_envs:without_pixels"],
            "task 'tests.control.user_envs:without_pixels' cannot be used: it renders",
        ),
    ],
)
def test_bad_arguments(arguments, message, run_main):
    code, out, err = run_main(tasks.main, *arguments)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(f"planet.scripts.tasks: error: {message}")


def test_bad_command_line(run_python):
    result = run_python("-m", "planet.scripts.tasks", "cheetah")
    assert (result.returncode, result.stdout) == (2, "")
    expected = "unknown task 'cheetah'; did you mean 'cheetah_run'?"
    assert result.stderr == f"planet.scripts.tasks: error: {expected}\n"


def test_help(run_python):
    result = run_python("-m", "planet.scripts.tasks", "--help")
    assert result.returncode == 0
    for form in ("dmc:walker_run", "package.module:function"):
        assert form in result.stdout
