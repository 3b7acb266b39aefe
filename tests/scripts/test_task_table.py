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


def test_table_of_given_tasks(run_python):
    result = run_python("-m", "planet.scripts.tasks", "dummy", "gym:Pendulum-v1")
    assert result.returncode == 0, result.stderr
    *_, row = result.stdout.splitlines()
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    expected = ["1 number", "200", "", "image, state", "classic-control"]
    assert cells == ["gym:Pendulum-v1", *expected]


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
