import logging
import sys
import warnings

import datasets
import lightning  # noqa: F401  its loggers have their handlers from import
import pytest
import transformers.utils.logging
from huggingface_hub.utils.tqdm import are_progress_bars_disabled

from lit_unlearn.commands import log_filter
from lit_unlearn.commands.log_filter import no_bars_in_files, quiet

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


_SHOWN: dict[str, object] = {
    "HF_DATASETS_DISABLE_PROGRESS_BARS": False,
    "_hf_datasets_progress_bars_disabled": False,
    "HF_HUB_DISABLE_PROGRESS_BARS": False,
    "progress_bar_states": {},
}


def bars() -> list[bool]:
    return [
        not datasets.are_progress_bars_disabled(),
        not are_progress_bars_disabled(),
        transformers.utils.logging.is_progress_bar_enabled(),
    ]


@pytest.fixture
def bars_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """All bars are on, whatever the environment says and an earlier test of this process left behind."""
    for library in ("datasets", "huggingface_hub"):  # both also call a class tqdm there
        states = vars(sys.modules[f"{library}.utils.tqdm"])
        for name, value in _SHOWN.items():
            monkeypatch.setitem(states, name, value)
    monkeypatch.setattr("transformers.utils.logging._tqdm_active", True)
    assert bars() == [True, True, True]


@pytest.mark.usefixtures("bars_shown")
def test_bars_of_libraries_are_for_who_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    with no_bars_in_files():  # tests capture what is printed
        assert bars() == [False, False, False]
    assert bars() == [True, True, True]
    monkeypatch.setattr(log_filter, "watched", lambda stream: True)
    with no_bars_in_files():
        assert bars() == [True, True, True]
