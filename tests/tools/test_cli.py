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


def test_flags_are_not_guessed(parser):
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(["--over"])


def test_names_that_are_no_text_can_be_printed(run_python):
    program = (
        "from planet.tools import cli; cli.Parser('name', '').parse_args([])\n"
        "print('\\udcff')"
    )
    result = run_python("-c", program, PYTHONIOENCODING="utf-8:strict")
    assert (result.stdout, result.stderr) == ("\\udcff\n", "")
