"""The one error that a person's input can cause, in any of the three packages."""


class InputError(ValueError):
    """Bad input: a file, a name, a number or a folder that cannot be used.

    The message is one line and says what was got, what is allowed and what to do. A command
    line prints it without a traceback and exits with code 2.
    """
