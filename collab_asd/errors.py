"""The one error that is meant to be read by a user."""


class InputError(ValueError):
    """Something that the user gave is wrong and the user can mend it.

    The message names the file, key or client, says what is wrong with it and what to do. The command line prints it
    without a traceback and ends with exit code 2.
    """


class PublicError(InputError):
    """One whose words hold nothing of a client's own: the server may read them, too."""
