"""The answers of a retain-only model, from the results of its evaluation."""

from pathlib import Path
from typing import cast

from lit_unlearn.answers.outcomes import PREFIX, Outcomes
from lit_unlearn.errors import InputError
from lit_unlearn.runs import layout
from lit_unlearn.runs.results_file import read_results, results_file


def load_reference(path: str, *, option: str = "AnswerEvaluation.reference") -> Outcomes:
    """The last outcomes in a run's results.

    Args:
        path: folder of a run with AnswerEvaluation, or its results.json.
        option: that names it, for the error.

    Raises:
        InputError: there are none.
    """
    folder = Path(path)
    file = results_file(folder) or (folder / layout.RESULTS if folder.is_dir() else folder)
    try:
        evaluations = read_results(file)["evaluations"]
        return cast(Outcomes, evaluations[-1][PREFIX]["outcomes"])
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise InputError(
            f"{option}: {file} holds no answers of an evaluation; make them with `lit-unlearn "
            "validate --model RETAIN_ONLY` on the same data, and give that run's folder"
        ) from error
