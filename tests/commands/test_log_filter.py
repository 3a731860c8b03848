import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path

import lightning  # noqa: F401  its loggers have their handlers from import
import pytest

import lit_unlearn
from lit_unlearn.commands.log_filter import quiet

_NEWS = logging.getLogger("lightning.pytorch.utilities.rank_zero")


def test_news_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    with quiet():
        _NEWS.info("GPU available: False")
    assert capsys.readouterr().out == "GPU available: False\n"


def test_advertisements_go_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    with quiet():
        _NEWS.info("💡 Tip: For seamless cloud logging, try installing [litlogger](https://pypi.org) to enable it")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "line",
    [
        "TPU available: False, using: 0 TPU cores",
        "Trainer already configured with callbacks: [<class 'X'>]. Skipping setting a default `X` callback.",
    ],
)
def test_what_says_nothing_goes_nowhere(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with quiet():
        _NEWS.info(line)
    assert capsys.readouterr() == ("", "")


def test_warnings_are_not_printed_as_news(capsys: pytest.CaptureFixture[str]) -> None:
    with quiet():
        _NEWS.warning("something is wrong")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "message",
    [
        "Precision bf16-mixed is not supported by the model summary.  Estimated model size in MB will not be accurate.",
        "`isinstance(treespec, LeafSpec)` is deprecated, use `isinstance(treespec, TreeSpec)` instead.",
        "Total length of `list` across ranks is zero. Please make sure this was your intention.",
    ],
)
def test_only_known_warnings_are_left_out(message: str) -> None:
    with pytest.warns(UserWarning) as caught:  # noqa: PT030, PT031  the list is what is tested
        with quiet():
            warnings.warn(message, stacklevel=1)
            warnings.warn("another", stacklevel=1)
        warnings.warn(message, stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["another", message]


def test_handlers_are_as_before_afterwards() -> None:
    def handlers() -> list[tuple[logging.Handler, int]]:
        loggers = [logging.getLogger(name) for name in ("lightning", "lightning.pytorch", "lightning.fabric")]
        return [(handler, handler.level) for logger in loggers for handler in logger.handlers]

    before = handlers()
    with quiet():
        assert handlers() != before
    assert handlers() == before


_BARS = """
import datasets, transformers.utils.logging
from huggingface_hub.utils.tqdm import are_progress_bars_disabled
from lit_unlearn.commands import log_filter

def show():
    print(
        not datasets.are_progress_bars_disabled(),
        not are_progress_bars_disabled(),
        transformers.utils.logging.is_progress_bar_enabled(),
    )

show()
with log_filter.no_bars_in_files():
    show()
show()
log_filter.watched = lambda stream: True
with log_filter.no_bars_in_files():
    show()
"""


def test_bars_of_libraries_are_for_who_watches() -> None:
    free = {name: value for name, value in os.environ.items() if "DISABLE" not in name}  # the tests switch them off
    done = subprocess.run([sys.executable, "-c", _BARS], env=free, capture_output=True, text=True, check=True)
    on, off = "True True True", "False False False"
    assert done.stdout.splitlines() == [on, off, on, on]


def test_our_own_warnings_are_one_line() -> None:
    def formatted(filename: str) -> str:
        return warnings.formatwarning("too\n few", UserWarning, filename, 7)

    ours = str(Path(lit_unlearn.__file__).parent / "nowhere.py")
    with quiet():
        assert formatted(ours) == "lit-unlearn: warning: too few\n"
        for other in ("elsewhere.py", f"{Path(ours).parent}_more/elsewhere.py"):
            assert formatted(other).startswith(f"{other}:7: UserWarning: too")
    assert f"{ours}:7: UserWarning: too" in formatted(ours)
