"""The one exception that people are meant to read."""


class XkdError(ValueError):
    """Input or parameters that cannot be used; the message is one sentence that names the file and the value."""
