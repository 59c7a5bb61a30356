"""Facts that a stage or a command left as JSON, for those who look at them later: what is missing there is a sentence, however deep."""

from xkd.errors import XkdError
from xkd.files import read_json

WORDS = {
    dict: "an object",
    list: "a list",
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


class Facts(dict):
    """An object of the JSON file `path`, at `place` within it ("" or such as "scores.0."), and the objects inside of it.

    Errors: a key is asked for that it lacks, which names the file and the key."""

    def __init__(self, values, path, place=""):
        super().__init__({key: within(value, path, f"{place}{key}.") for key, value in values.items()})
        self.path, self.place = path, place

    def __missing__(self, key):
        raise XkdError(f"{self.path}: has no key {self.place}{key}.")


def within(value, path, place):
    """A value of JSON with its objects as `Facts`."""
    if isinstance(value, dict):
        return Facts(value, path, place)
    if isinstance(value, list):
        return [within(one, path, f"{place}{k}.") for k, one in enumerate(value)]
    return value


def facts(path, **kinds):
    """The object in the JSON file `path`. kinds: {key that it has to have: type of its value, or [type] of each in a list}.

    Errors: no such file, no JSON, another kind of JSON, no such key, a value of another kind; later, each key that is not there."""
    found = read_json(path)
    if not isinstance(found, dict):
        raise XkdError(f"{path}: has to hold an object and holds {str(found)[:60]!r}.")
    found = Facts(found, path)
    for key, kind in kinds.items():
        rows, one = (found[key], kind[0]) if isinstance(kind, list) else ([found[key]], kind)
        if not isinstance(rows, list) or not all(of_kind(value, one) for value in rows):
            wanted = f"a list, each {WORDS[one]}" if isinstance(kind, list) else WORDS[one]
            raise XkdError(f"{path}: {key} has to be {wanted} and is {str(found[key])[:60]!r}.")
    return found


def of_kind(value, kind):
    """Whether a value of JSON is of a type; a whole number is a number, and true is none."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float if kind is float else kind)
