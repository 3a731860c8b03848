"""The one exception for what a user can mend."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message names the value, what was expected and the remedy; the command line prints it as one line.
    """
