"""The one exception that people are meant to read."""


class XkdError(ValueError):
    """Input or parameters that cannot be used; the message is one sentence that names the file and the value."""


def of_disk(error):
    """What an OSError says, in one sentence."""
    return f"{error.filename or 'A file'}: cannot be read or written ({error.strerror or why(error)})."


def why(error):
    """What a library says of damaged bytes, short and on one line, for the brackets of a sentence; its kind where it says nothing."""
    return " ".join(str(error).split())[:160].rstrip(".") or type(error).__name__
