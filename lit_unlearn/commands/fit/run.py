"""Runs `fit`, `validate` or `test`."""

import sys

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.exceptions import SIGTERMException

from lit_unlearn.commands.fit import resuming
from lit_unlearn.commands.fit.cli import UnlearnCLI
from lit_unlearn.commands.log_filter import no_bars_in_files, quiet
from lit_unlearn.commands.options.words import Words
from lit_unlearn.errors import Diverged, InputError
from lit_unlearn.runs.folder import RunFolder


def run(words: Words, *, alone: bool = False) -> None:
    """Runs `fit`, `validate` or `test` with these options.

    Args:
        words: of the command line.
        alone: evaluate a model without losses: its options are among the words, not in files.

    Raises:
        InputError: an option, a file or a combination that cannot work.
        KeyboardInterrupt: the run is interrupted; the command that resumes it has been printed.
        SystemExit: with status 143 after SIGTERM; the same is printed.
    """
    folder = RunFolder()
    try:
        with quiet(), no_bars_in_files(), folder:
            UnlearnCLI(words, folder, alone=alone)
    except MisconfigurationException as error:
        raise InputError(f"trainer: {error}") from error
    except SIGTERMException:
        _say_how_to_resume(folder)
        raise SystemExit(143) from None
    except SystemExit as stop:
        if not isinstance(stop.__context__, KeyboardInterrupt):  # which Lightning turns into status 1
            raise
        _say_how_to_resume(folder)
        raise KeyboardInterrupt from None
    except Exception as error:
        if not isinstance(error, Diverged):  # it would fail again
            _say_how_to_resume(folder)
        raise


def _say_how_to_resume(folder: RunFolder) -> None:
    """One line on standard error, where there is a run to resume."""
    if folder.holds_answers:
        print(f"lit-unlearn: the same command resumes; what is answered is in {folder.path}", file=sys.stderr)
        return
    if folder.path is None or not folder.began():
        return
    step = resuming.step(folder.path)
    where = "from the beginning, no checkpoint yet" if step is None else f"after step {step}"
    print(f"lit-unlearn: to resume ({where}): {resuming.command(folder.path)}", file=sys.stderr)
