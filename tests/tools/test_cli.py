import pathlib

import pytest

from planet.tools import cli


@pytest.fixture
def parser():
    parser = cli.Parser("planet.scripts.example", "An example.")
    parser.add_argument("--folder", type=cli.existing_folder)
    parser.add_argument("--file", type=cli.existing_file)
    parser.add_argument("--plot", type=cli.output_file(".png", ".svg"))
    parser.add_argument("--target", type=cli.output_folder)
    parser.add_argument("--count", type=cli.number(int, 1, 9))
    parser.add_argument("--rate", type=cli.number(float, 0))
    parser.add_argument("--flag", type=cli.boolean)
    parser.add_overwrite()
    return parser


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("folder", "missing", "'missing' is not a folder"),
        ("folder", "file.json", "'file.json' is not a folder"),
        ("folder", "", "'' is not a path"),
        ("folder", "~nobody-is-called-so/a", "'~nobody-is-called-so/a': "),
        ("folder", "a" * 300, f"'{'a' * 300}': "),
        ("file", "missing", "'missing' is not a file"),
        ("file", "folder", "'folder' is not a file"),
        ("plot", "plot.jpg", "'plot.jpg' must end with .png or .svg"),
        ("plot", "folder.png", "'folder.png' is a folder"),
        ("plot", "missing/plot.png", "'missing/plot.png': there is no folder '/"),
        ("target", "file.json", "'file.json' is not a folder"),
        ("target", "file.json/new", "'file.json/new' is not a folder"),
        ("count", "0", "must be a whole number from 1 to 9, not '0'"),
        ("count", "2.5", "must be a whole number from 1 to 9, not '2.5'"),
        ("rate", "inf", "must be a number of at least 0, not 'inf'"),
        ("rate", "nan", "must be a number of at least 0, not 'nan'"),
        ("flag", "maybe", "must be True or False, not 'maybe'"),
    ],
)
def test_errors_are_one_line(
    flag, value, message, parser, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("file.json").touch()
    pathlib.Path("folder").mkdir()
    pathlib.Path("folder.png").mkdir()
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args([f"--{flag}", value])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"planet.scripts.example: error: argument --{flag}: {message}"
    )


def test_values(parser, tmp_path):
    (tmp_path / "old.svg").touch()
    args = parser.parse_args(
        f"--folder {tmp_path} --file {tmp_path}/old.svg --plot {tmp_path}/old.svg "
        f"--target {tmp_path}/new/er --count 9 --rate 0 --flag FALSE".split()
    )
    assert args.folder == tmp_path
    assert args.file == args.plot == tmp_path / "old.svg"
    assert args.target == tmp_path / "new" / "er"
    assert (args.count, args.rate, args.flag) == (9, 0.0, False)
    assert not args.overwrite
    assert not args.target.exists()


def test_existing_output_is_refused(parser, tmp_path, capsys):
    empty, full, file = (tmp_path / name for name in ("empty", "full", "full/file"))
    empty.mkdir()
    full.mkdir()
    file.touch()
    parser.refuse_existing(empty, tmp_path / "new")
    for path in (full, file):
        with pytest.raises(SystemExit, match="2"):
            parser.refuse_existing(empty, path)
        message = f"'{path}' exists; --overwrite replaces it\n"
        assert capsys.readouterr().err.endswith(message)


def test_flags_are_not_guessed(parser, capsys):
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(["--over"])
    message = "error: unknown flag '--over'; did you mean '--overwrite'?\n"
    assert capsys.readouterr().err.endswith(message)


@pytest.fixture
def words():
    parser = cli.Parser("planet.scripts.example", "An example.")
    parser.add_word("run", "--logdir", metavar="RUN", help="a run", type=cli.boolean)
    parser.add_word(
        "tasks",
        "--tasks",
        "--task",
        metavar="NAME",
        help="a task",
        several=True,
        required=False,
    )
    parser.add_argument("--seed")
    return parser


@pytest.mark.parametrize(
    ("line", "tasks"),
    [
        ("true", None),
        ("--logdir true", None),
        ("true a b", ["a", "b"]),
        ("--seed 3 true a b", ["a", "b"]),
        ("true --seed 3 a b", ["a", "b"]),
        ("true a --seed 3 b", ["a", "b"]),
        ("--logdir true a b", ["a", "b"]),
        ("a --logdir true b", ["a", "b"]),
        ("true --tasks a b", ["a", "b"]),
        ("--task a --tasks b --logdir true", ["a", "b"]),
    ],
)
def test_words_are_given_by_themselves_or_after_flags(line, tasks, words):
    args = words.parse_args(line.split())
    seed = "3" if "seed" in line else None
    assert vars(args) == {"run": True, "tasks": tasks, "seed": seed}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "give RUN, or --logdir RUN"),
        ("--seed 3", "give RUN, or --logdir RUN"),
        ("maybe", "argument RUN: must be True or False, not 'maybe'"),
        ("--logdir maybe", "argument --logdir: must be True or False, not 'maybe'"),
        ("true --tasks a --logdir true b", "unrecognized arguments: true b"),
        ("maybe --sed 3", "unknown flag '--sed'; did you mean '--seed'?"),
        ("maybe --sed=3", "unknown flag '--sed'; did you mean '--seed'?"),
    ],
)
def test_words_that_are_wrong(line, message, words, capsys):
    with pytest.raises(SystemExit, match="2"):
        words.parse_args(line.split())
    expected = f"planet.scripts.example: error: {message}\n"
    assert capsys.readouterr().err == expected


def test_words_are_in_the_help(words):
    for text in ("[RUN] [NAME ...]", "--logdir RUN", "the same as NAME by itself"):
        assert text in words.format_help()


def test_names_that_are_no_text_can_be_printed(run_python):
    program = (
        "from planet.tools import cli; cli.Parser('name', '').parse_args([])\n"
        "print('\\udcff')"
    )
    result = run_python("-c", program, PYTHONIOENCODING="utf-8:strict")
    assert (result.stdout, result.stderr) == ("\\udcff\n", "")
