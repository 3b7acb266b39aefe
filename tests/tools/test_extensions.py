import sys

import pytest

from planet.tools import extensions


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """A user's modules, unloaded afterwards."""
    (tmp_path / "good_ideas.py").write_text("def plan(a, b, c=3): return a + b + c\n")
    (tmp_path / "broken_ideas.py").write_text("import nothing_like_this\n")
    (tmp_path / "wrong_ideas.py").write_text("1 / 0\n")
    (tmp_path / "leaving_ideas.py").write_text("raise SystemExit('at once')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("good_ideas", "broken_ideas", "wrong_ideas", "leaving_ideas"):
        sys.modules.pop(name, None)


def test_loads_attributes_and_modules(modules):
    assert extensions.load("good_ideas:plan")(1, 2) == 6
    assert extensions.load("good_ideas").plan(1, 2) == 6


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_ideas:plan", "there is no module 'no_ideas'"),
        ("good_ideas.more:plan", "there is no module 'good_ideas.more'"),
        (
            "good_ideas:plam",
            "unknown attribute of good_ideas 'plam'; did you mean 'plan'?",
        ),
        (
            "broken_ideas:plan",
            "importing 'broken_ideas' fails: ModuleNotFoundError: No module named "
            "'nothing_like_this'",
        ),
        (
            "wrong_ideas:plan",
            "importing 'wrong_ideas' fails: ZeroDivisionError: division by zero",
        ),
        (
            "leaving_ideas:plan",
            "importing 'leaving_ideas' fails: SystemExit: at once",
        ),
        (":plan", "'' is not the name of a module"),
        ("../good_ideas:plan", "'../good_ideas' is not the name of a module"),
        (".good_ideas:plan", "'.good_ideas' is not the name of a module"),
        ("os:system", "'os' is a module of Python itself"),
        ("importlib.util:find_spec", "'importlib' is a module of Python itself"),
        ("__main__:main", "'__main__' is a module of Python itself"),
        ("planet.scripts.train:main", "the modules of planet.scripts are commands"),
    ],
)
def test_what_cannot_be_loaded_is_told_in_a_line(modules, name, message):
    with pytest.raises(extensions.ExtensionError) as error:
        extensions.load(name)
    assert str(error.value) == message


def test_settings_become_the_arguments_of_their_names():
    def function(size, speed=1.0):
        return size, speed

    settings = {"size": 3, "colour": "red"}
    assert extensions.arguments(function, settings) == {"size": 3}
    extensions.check_arguments(function, settings)
    with pytest.raises(extensions.ExtensionError, match="'size' is not a setting and"):
        extensions.check_arguments(function, ("speed",))
    with pytest.raises(extensions.ExtensionError, match="its arguments are not known"):
        extensions.check_arguments(dict, settings)


def test_arguments_that_a_function_does_not_take():
    def function(state, **others):
        return state, others

    assert extensions.missing_arguments(lambda state: state, ("state", "b")) == ["b"]
    assert extensions.missing_arguments(function, ("state", "b")) == []
    extensions.check_arguments(function, ("state",))


def test_working_folder(tmp_path, monkeypatch):
    (tmp_path / "only_here.py").touch()
    (tmp_path / "package_here").mkdir()
    (tmp_path / "package_here" / "part.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("only_here", "package_here.part"):
        assert extensions.working_folder(name) == tmp_path
    for name in ("numpy", "planet.models", "tests.control.nope", "nowhere"):
        assert extensions.working_folder(name) is None
    monkeypatch.setenv("PYTHONPATH", f"/usr:{tmp_path}")
    assert extensions.working_folder("only_here") is None
