"""Settings that people write: kinds of values, YAML, and messages about mistakes.

A kind is a function that returns the plain form of a value, or raises a ValueError
whose text completes the sentence "cem_amount must be …".
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import pathlib
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ruamel import yaml

Kind = Callable[[Any], Any]
MAX_NODES = 100_000  # Of a YAML text; aliases let a short one hold billions.
MAX_BRACKETS = 1000  # Time to read a text grows with the square of their number.
ALIKE = 0.6  # Words that are less like each other are not suggested.
INITIALS, PART = 0.95, 0.9  # Likeness of initials, and of a part that is equal.
LISTED = 80  # Letters of a list of known words.
_SEPARATORS = re.compile(r"[\W_]+")
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxlong, _SHORT.maxstring, _SHORT.maxother = 3, 60, 60, 60
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = _SHORT.maxset = 20


class ParameterError(ValueError):
    """A setting that cannot be used; the message is one line for the user."""


class UnknownWordError(Exception):
    """A word that is not one of the known ones.

    It is not a ValueError, so that kinds made of other kinds do not catch it.
    """

    def __init__(self, what: str, word: Any, known: Iterable[str]):
        super().__init__(what, word)
        self._parts = what, word, known

    def at(self, place: str) -> ParameterError:
        """The error for the user, with the place where the word was given."""
        return ParameterError(unknown(*self._parts, place))


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A setting: its default, what values it takes, what it means.

    Attributes:
      default: Value when neither the user nor the config gives one.
      kind: Function that returns the plain form of a value or raises ValueError.
      text: What it means, in a line.
      alias: Its name in the first public release of PlaNet, where that differs.
      pg_alias: Its name in PG+, where that differs.
    """

    default: Any
    kind: Kind
    text: str
    alias: str | None = None
    pg_alias: str | None = None

    @property
    def aliases(self) -> list[str]:
        """All its other names."""
        return [name for name in (self.alias, self.pg_alias) if name]


def unknown(what: str, word: Any, known: Iterable[str], place: str = "") -> str:
    """An error message that names the known word nearest to an unknown one.

    If none is near, it lists the known words, or the first ones of many.

    Args:
      what: What kind of word it is.
      word: The unknown one.
      known: Those that could have been meant.
      place: Where the word was given, such as " in --params".
    """
    known = list(known)
    found = nearest(word if isinstance(word, str) else show(word), known)
    if found is not None:
        hint = f"did you mean {found!r}?"
    elif known:
        hint = f"known: {_list(known)}"
    else:
        hint = "there is none"
    return f"unknown {what} {show(word)}{place}; {hint}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like an unknown one; None if none is like it.

    Words are alike if their letters are, in upper or lower case, if one is a part of
    the other, as `score` is of `test_score`, or its initials, as `lr` of
    `learning_rate`.
    """
    text = word[:100].lower()
    scores = {entry: _likeness(text, entry[:100].lower()) for entry in known}
    best = max(scores, key=lambda entry: scores[entry], default=None)
    return best if best is not None and scores[best] >= ALIKE else None


def _likeness(word: str, known: str) -> float:
    """How like two words are: 1 if they are equal."""
    parts = [part for part in _SEPARATORS.split(known) if part]
    if len(parts) > 1 and word == "".join(part[0] for part in parts):
        return INITIALS
    whole, *others = (
        difflib.SequenceMatcher(None, word, text).ratio() for text in (known, *parts)
    )
    begins = len(word) > 2 and known.startswith(word)
    return max(whole, PART * max(others, default=0.0), PART * begins)


def _list(words: Sequence[str]) -> str:
    """The words, or the first ones of many and their number."""
    shown = ""
    for index, entry in enumerate(words):
        longer = f"{shown}, {show(entry)}" if shown else show(entry)
        if index and len(longer) > LISTED:
            return f"{shown}, … ({len(words)} in all)"
        shown = longer
    return shown


def show(value: Any) -> str:
    """Printable form of a value, short enough for a line."""
    try:
        text = " ".join(_SHORT.repr(value).split())
    except ValueError:  # An integer of too many digits.
        text = f"a {type(value).__name__} that is too long to show"
    return text if len(text) <= 60 else text[:57] + "..."


def boolean(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def word(value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise ValueError("a word")
    return value


def number(low: float, high: float = math.inf, whole: bool = False) -> Kind:
    """A finite number in [low, high]; an integral float counts as a whole number."""
    name = "a whole number" if whole else "a number"
    limits = f"of at least {low}" if high == math.inf else f"from {low} to {high}"

    def check(value: Any) -> int | float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        # The upper bound also keeps infinities and more than 64 bits out.
        valid = is_number and low <= value <= min(high, 1e18)
        if not valid or (whole and value % 1):
            raise ValueError(f"{name} {limits}")
        return int(value) if whole else float(value)

    return check


def integer(low: int, high: float = math.inf) -> Kind:
    """A whole number in [low, high]."""
    return number(low, high, whole=True)


def positive(value: Any) -> float:
    """A finite number above 0."""
    try:
        result = number(0)(value)
    except ValueError:
        result = 0.0
    if not result:
        raise ValueError("a number above 0")
    return result


def between(low: float, high: float, with_high: bool = False) -> Kind:
    """A number above `low` and below `high`, or up to `high` if `with_high`."""
    end = "]" if with_high else ")"

    def check(value: Any) -> float:
        try:
            result = number(low, high)(value)
        except ValueError:
            result = low
        if result == low or (result == high and not with_high):
            raise ValueError(f"a number in ({low}, {high}{end}")
        return result

    return check


def optional(kind: Kind) -> Kind:
    """The given kind or null."""

    def check(value: Any) -> Any:
        try:
            return None if value is None else kind(value)
        except ValueError as error:
            raise ValueError(f"{error}, or null") from None

    return check


def items(kind: Kind, size: int | None = None) -> Kind:
    """A list of the given kind; a single value counts as a list of one."""
    count = "one or more values" if size is None else f"{size} values"

    def check(value: Any) -> list:
        values = list(value) if isinstance(value, list | tuple) else [value]
        if len(values) != (size or max(1, len(values))):
            raise ValueError(f"a list of {count}")
        try:
            return [kind(entry) for entry in values]
        except ValueError as error:
            raise ValueError(f"a list of {count}, each {error}") from None

    return check


def one_or_more(kind: Kind) -> Kind:
    """A value of the given kind, or a list of such values, which stays a list."""

    def check(value: Any) -> Any:
        several = isinstance(value, list | tuple) and len(value)
        try:
            return [kind(entry) for entry in value] if several else kind(value)
        except ValueError as error:
            raise ValueError(f"{error}, or a list of such") from None

    return check


def mapping(key_kind: Kind, value_kind: Kind, keys: str, values: str) -> Kind:
    """A mapping of the given kinds of keys and values, whose names are for messages."""

    def check(value: Any) -> dict:
        if not isinstance(value, Mapping):
            raise ValueError(f"a mapping from {keys} to {values}")
        try:
            return {key_kind(key): value_kind(entry) for key, entry in value.items()}
        except ValueError as error:
            raise ValueError(f"a mapping whose values are each {error}") from None

    return check


def keywords(value: Any) -> dict[str, Any]:
    """A mapping from names of arguments to plain values, as YAML and JSON have them."""
    try:
        if not all(key.isidentifier() for key in value):
            raise ValueError("not the name of an argument")
        return json.loads(json.dumps(dict(value)))
    except (AttributeError, TypeError, ValueError, RecursionError):
        raise ValueError(
            "a mapping from keywords to numbers, texts, lists or mappings"
        ) from None


def choice(options: Iterable[str], what: str) -> Kind:
    """One of the given words; the error for any other names the nearest."""

    def check(value: Any) -> str:
        if word(value) not in options:
            raise UnknownWordError(what, value, options)
        return value

    return check


def parse(text: str, source: str) -> dict[str, Any]:
    """Mapping that a YAML 1.2 text holds; an empty text is an empty mapping.

    Raises:
      ParameterError: The text is not YAML, or not a mapping of plain values.
    """
    return _require_mapping(_load(text, source), f"{source} must be a mapping of")


def read(texts: Iterable[str], source: str) -> dict[str, Any]:
    """Parameters of a command line, of which later ones override earlier ones.

    Args:
      texts: Each a mapping in YAML, `key=value` with a value in YAML, or the path of a
          file of such a mapping, which ends with `.yaml` or `.yml`.
      source: Where they were given, for messages.

    Raises:
      ParameterError: A text is none of these.
    """
    values = {}
    for text in texts:
        values |= _read_part(text, source)
    return values


def _read_part(text: str, source: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    if equals and key.isidentifier():
        return {key: _load(value, f"{key} in {source}")}
    if text.endswith((".yaml", ".yml")) and ": " not in text:
        try:
            return read_file(pathlib.Path(text).expanduser())
        except (OSError, ValueError, RuntimeError) as error:
            if isinstance(error, ParameterError):
                raise
            reason = getattr(error, "strerror", None) or error
            message = f"{show(text)} in {source} cannot be read: {reason}"
            raise ParameterError(message) from None
    kinds = f"{source} must be key=value, FILE.yaml or a mapping of"
    return _require_mapping(_load(text, source), kinds)


def read_file(path: pathlib.Path) -> dict[str, Any]:
    """Mapping that a file of YAML holds.

    Raises:
      ParameterError: The file holds something else.
      OSError: It cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ParameterError(f"{path} is not a text file") from None
    return parse(text, str(path))


def _require_mapping(values: Any, wanted: str) -> dict[str, Any]:
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ParameterError(f"{wanted} parameters, not {show(values)}")
    return values


def _load(text: str, source: str) -> Any:
    """What a YAML 1.2 text holds; None if it is empty."""
    try:
        if text.count("[") + text.count("{") > MAX_BRACKETS:
            raise ValueError("it has too many brackets")
        root = yaml.YAML(typ="safe", pure=True).compose(text)
        if _count_nodes(root, {}) > MAX_NODES:
            raise ValueError("its aliases stand for too much")
        return yaml.YAML(typ="safe", pure=True).load(text)
    except RecursionError:
        raise ParameterError(
            f"{source} cannot be read as YAML: nested too deeply"
        ) from None
    except Exception as error:  # Values that do not fit their tags fail in many ways.
        reason = getattr(error, "problem", None) or str(error) or type(error).__name__
        reason = " ".join(reason.split())
        raise ParameterError(f"{source} cannot be read as YAML: {reason}") from None


def _count_nodes(node: yaml.nodes.Node | None, counts: dict[int, float]) -> float:
    """How many nodes a YAML document has, those of an alias each time it is used."""
    if not isinstance(node, yaml.nodes.CollectionNode):
        return 1
    if id(node) not in counts:
        counts[id(node)] = math.inf  # Unless it holds itself, it is known soon.
        parts = node.value
        if isinstance(node, yaml.nodes.MappingNode):
            parts = [part for pair in parts for part in pair]
        counts[id(node)] = 1 + sum(_count_nodes(part, counts) for part in parts)
    return counts[id(node)]


def by_own_names(
    table: Mapping[str, Parameter], given: Mapping[str, Any], place: str = ""
) -> dict[str, Any]:
    """Settings by their own names, from settings by their own names or aliases.

    Args:
      table: All parameters.
      given: What the user sets.
      place: Where it was given, for messages.

    Raises:
      UnknownWordError: There is no such parameter.
      ParameterError: Two words are names of one parameter.
    """
    names = {key: [key] for key in table}
    for key, parameter in table.items():
        for alias in parameter.aliases:
            names.setdefault(alias, []).append(key)
    values, words = {}, {}
    for name, value in given.items():
        if name not in names:
            raise UnknownWordError("parameter", name, names)
        for key in names[name]:
            if key in values:
                raise ParameterError(
                    f"{words[key]} and {name}{place} are names of one parameter"
                )
            values[key], words[key] = value, name
    return values


def plain(key: str, parameter: Parameter, value: Any, place: str = "") -> Any:
    """The value of a parameter in its plain form.

    Raises:
      UnknownWordError: It is not one of the words that the parameter takes.
      ParameterError: It is not of the parameter's kind.
    """
    try:
        return parameter.kind(value)
    except ValueError as error:
        message = f"{key}{place} must be {error}, not {show(value)}"
        raise ParameterError(message) from None
