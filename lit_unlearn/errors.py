"""The exceptions for what a user can fix."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message names the value, what was expected and the remedy; the command line prints it as one line, and so does a
    notebook, without the calls that led there.
    """

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class RunFailed(InputError):
    """A run that had begun could not be finished: not an option that is refused, so other runs may do better.

    On the command line the status is 1.
    """


class Diverged(RunFailed):
    """A run's numbers are no longer finite; the same run would fail again."""
