"""The one error that is meant to be read by a user, and those of the operating system in its words."""

import errno

REMEDIES = {
    errno.ENOSPC: "free some space, or name a folder on another disk",
    errno.EDQUOT: "free some space, or name a folder on another disk",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EACCES: "check its permissions, or name another",
    errno.EPERM: "check its permissions, or name another",
    errno.EROFS: "name a folder that can be written",
    errno.ENOENT: "check that it exists, or name another",
    errno.ENOTDIR: "a part of this path is a file; name another",
    errno.EEXIST: "name another",
    errno.EISDIR: "name a file",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
}
HANDLER_RAISED = 2
"""Flower's code of an error that a client's handler raised."""


class InputError(ValueError):
    """Something that the user gave is wrong and the user can fix it.

    The message names the file, key or client, says what is wrong with it and what to do. The command line prints it
    without a traceback and ends with exit code 2.
    """


def reason(error: Exception) -> str:
    """Return what went wrong for a sentence that names the path itself: Python names it, and a number, once more."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


KINDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}


def kind_words(kind: type) -> str:
    """Say what a value of a type is, to a reader who does not program: ``int`` is ``"a whole number"``."""
    return KINDS.get(kind, kind.__name__)


class PublicError(InputError):
    """One whose words hold nothing of a client's own: the server may read them, too."""


def refusal(error: OSError) -> str:
    """Return in one sentence what the operating system refused, on which path, and what to do."""
    what = (error.strerror or str(error) or type(error).__name__).rstrip(".")
    where = f"{error.filename}: " if error.filename is not None else ""
    remedy = REMEDIES.get(error.errno or 0, "")
    return f"{where}{what[0].lower()}{what[1:]}{f'; {remedy}' if remedy else ''}"
