import pytest
from hypothesis import given
from hypothesis import strategies as st

from planet.tools import parameters

BILLION_LAUGHS = "a0: &a0 [ha, ha]\n" + "\n".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]"
    for level in range(1, 30)
)


@pytest.mark.parametrize(
    "text",
    [
        "[1]",
        "3",
        "{a: ]",
        "{a: 1, a: 2}",
        "{a: !!int x}",
        "a: 2001-99-99",
        "!!python/object/apply:os.system [false]",
        "[" * 10_000,
        "--- a\n--- b",
        "{a: !!bool maybe}",
        "{a: !!timestamp maybe}",
        "{a: !!binary é}",
        "{a: !!float {}}",
        "{a: " + "1" * 5000 + "}",
        "a: &a [*a]",
        "a: &a {b: *a}",
        "? [[1], {a: b}]\n: 3",
        "{a: \x00}",
        "{a: \x1b[31m}",
        BILLION_LAUGHS,
        BILLION_LAUGHS.replace("[", "{<<: [").replace("]", "]}"),
    ],
)
def test_refused_texts(text):
    with pytest.raises(parameters.ParameterError, match=r"^--params ") as error:
        parameters.parse(text, "--params")
    assert len(str(error.value).splitlines()) == 1


def test_a_few_aliases_are_fine():
    text = "{a: &a [1, 2], b: *a, c: &c {d: 3}, e: {<<: *c, f: *a}}"
    expected = {"a": [1, 2], "b": [1, 2], "c": {"d": 3}, "e": {"d": 3, "f": [1, 2]}}
    assert parameters.parse(text, "--params") == expected


@pytest.mark.parametrize(
    "make",
    [
        lambda: "a\nb" * 1000,
        lambda: 1 << 20_000,
        lambda: [[[[1] * 99] * 99] * 99] * 99,
        lambda: {"a" * 99: "b" * 99},
    ],
)
def test_any_value_is_shown_in_a_line(make):
    value = make()
    assert len(parameters.show(value)) <= 60
    assert "\n" not in parameters.unknown("word", value, ["known"])


@given(st.text() | st.text(alphabet="{}[]:,-?!&*|>'\"%@#\n ab1", max_size=30))
def test_any_text_gives_a_mapping_or_a_line(text):
    try:
        result = parameters.parse(text, "--params")
    except parameters.ParameterError as error:
        result = error
    assert isinstance(result, dict) or len(str(result).splitlines()) == 1


def test_texts_are_yaml_1_2():
    values = parameters.parse("{a: 1e-3, b: no, c: 0o10, d: True, e: null}", "--params")
    assert values == {"a": 1e-3, "b": "no", "c": 8, "d": True, "e": None}
    assert parameters.parse("", "--params") == {}


def test_parameters_of_a_command_line(tmp_path):
    path = tmp_path / "more.yaml"
    path.write_text("a: 1\nb: [1, 2]\n")

    def read(*texts):
        return parameters.read(texts, "--params")

    assert read() == read("", "{}") == {}
    assert read(str(path), "b=x", "{c: 3}") == {"a": 1, "b": "x", "c": 3}
    assert read("a=1e-3", "b=[1, 2]", "c=gym:Pendulum-v1", "d=a=b", "e=", "f=null") == {
        "a": 1e-3,
        "b": [1, 2],
        "c": "gym:Pendulum-v1",
        "d": "a=b",
        "e": None,
        "f": None,
    }
    assert read("a=1", "a=2") == {"a": 2}
    assert read("a=b.yaml") == {"a": "b.yaml"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("word", "--params must be key=value, FILE.yaml or a mapping of parameters, n"),
        ("[1]", "--params must be key=value, FILE.yaml or a mapping of parameters, "),
        ("a=[1", "a in --params cannot be read as YAML: expected"),
        ("a=!!python/name:os.abort", "a in --params cannot be read as YAML: could not"),
        ("none.yaml", "'none.yaml' in --params cannot be read: No such file or"),
        ("folder.yaml", "'folder.yaml' in --params cannot be read: Is a directory"),
        ("~nobody-is-called-so/a.yml", "'~nobody-is-called-so/a.yml' in --params cann"),
        ("a\0.yaml", "'a\\x00.yaml' in --params cannot be read: embedded null byte"),
        ("list.yaml", "list.yaml must be a mapping of parameters, not [1]"),
        ("image.yaml", "image.yaml is not a text file"),
    ],
)
def test_what_is_no_parameter_is_refused(text, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "list.yaml").write_text("[1]")
    (tmp_path / "image.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(parameters.ParameterError) as error:
        parameters.read([text], "--params")
    (line,) = str(error.value).splitlines()
    assert line.startswith(message)


def test_unknown_words_are_told_the_nearest():
    known = ["test_score", "image_loss"]
    message = "unknown metric 'score'; did you mean 'test_score'?"
    assert parameters.unknown("metric", "score", known) == message
    assert parameters.unknown("run", "a", []) == "unknown run 'a'; there is none"
    message = "unknown word 'TEST_SCORE' in a file; did you mean 'test_score'?"
    assert parameters.unknown("word", "TEST_SCORE", known, " in a file") == message


@pytest.mark.parametrize(
    ("word", "suggestion"),
    [
        ("lr", "learning_rate"),
        ("steps", "max_steps"),
        ("Learning_Rates", "learning_rate"),
        ("horizon", "planner_horizon"),
        ("discount_factor", "discount"),
        ("foo", None),
        ("xyz", None),
        ("", None),
    ],
)
def test_what_is_unlike_everything_is_not_suggested(word, suggestion):
    known = ["loader", "learning_rate", "max_steps", "planner_horizon", "discount"]
    assert parameters.nearest(word, known) == suggestion


def test_known_words_are_listed_where_none_is_alike():
    message = "unknown task 'foo'; known: 'gym_freeway', 'dummy'"
    assert parameters.unknown("task", "foo", ["gym_freeway", "dummy"]) == message
    message = parameters.unknown("task", "foo", [f"task_{i}" for i in range(1000)])
    assert message.startswith("unknown task 'foo'; known: 'task_0', 'task_1', ")
    assert message.endswith(", … (1000 in all)")
    assert len(message) < 140
    assert parameters.unknown("a", "b", ["c" * 999]).count("c") < 60


@pytest.mark.parametrize(
    ("kind", "good", "bad", "text"),
    [
        (parameters.boolean, [True], [1, "yes"], "true or false"),
        (
            parameters.keywords,
            [{}, {"size": 3, "names": ["a", {"b": None}]}],
            [3, [1], "a", {"a b": 1}, {3: 1}, {"a": {1, 2}}],
            "a mapping from keywords to numbers, texts, lists or mappings",
        ),
        (
            parameters.integer(2),
            [2, 3.0],
            [1, 2.5, True],
            "a whole number of at least 2",
        ),
        (parameters.number(0, 1), [0, 0.5], [-1, 2, "1"], "a number from 0 to 1"),
        (parameters.positive, [1e-9], [0, -1, None], "a number above 0"),
        (parameters.between(0, 1, True), [0.1, 1], [0, 1.1], "a number in (0, 1]"),
        (
            parameters.optional(parameters.word),
            [None, "a"],
            [3],
            "a word, or null",
        ),
        (
            parameters.items(parameters.integer(1), 2),
            [[1, 2], (3, 4)],
            [[1], 5],
            "a list of 2 values",
        ),
        (
            parameters.one_or_more(parameters.integer(1)),
            [1, [1, 2]],
            [[], [0], "a"],
            "a whole number of at least 1, or a list of such",
        ),
    ],
)
def test_kinds_take_values_or_say_what_they_want(kind, good, bad, text):
    for value in good:
        plain = kind(value)
        assert plain == (list(value) if isinstance(value, tuple) else value)
        assert kind(plain) == plain
    for value in bad:
        with pytest.raises(ValueError, match=r"^") as error:
            kind(value)
        assert str(error.value) == text
