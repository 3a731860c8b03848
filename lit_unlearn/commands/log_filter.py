"""What Lightning says of itself: news on standard output, and nothing that a user cannot act on."""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import lit_unlearn
from lit_unlearn.runs.waiting import watched

_LOGGERS = ("lightning.pytorch", "lightning.fabric")
_ABOVE = "lightning"  # hears of them too where the caller has set up logging
_PACKAGE = Path(lit_unlearn.__file__).parent
_OF_NO_USE = ("litlogger", "litmodels", "TPU available", "HPU available", "Skipping setting a default")
_NOT_THE_USERS_CONCERN = (
    # The summary then counts sizes in 32 bits: it is about a table, not about the training.
    "Precision .* is not supported by the model summary",
    # Lightning's own use of torch.
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    # A resumed run has a folder of its own.
    "The dirpath has changed from",
    # No holdout, no validation: as asked.
    "Total length of `list` across ranks is zero",
)


@contextmanager
def quiet() -> Iterator[None]:
    """Standard error is left to warnings and errors that concern the user, while this lasts."""
    with warnings.catch_warnings(), ExitStack() as stack:
        for message in _NOT_THE_USERS_CONCERN:
            warnings.filterwarnings("ignore", message=message)
        for name in (_ABOVE, *_LOGGERS):
            stack.enter_context(_warnings_only(logging.getLogger(name)))
        for name in _LOGGERS:
            stack.enter_context(_news_on_stdout(logging.getLogger(name)))
        stack.enter_context(_ours_in_one_line())
        yield


@contextmanager
def no_bars_in_files() -> Iterator[None]:
    """Libraries show no progress bars where standard error is neither a terminal nor a notebook's, while this lasts."""
    if watched(sys.stderr):
        yield
        return
    import datasets
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from transformers.utils import logging as transformers

    switches = [
        (not datasets.are_progress_bars_disabled(), datasets.disable_progress_bars, datasets.enable_progress_bars),
        (not are_progress_bars_disabled(), disable_progress_bars, enable_progress_bars),
        (
            transformers.is_progress_bar_enabled(),
            transformers.disable_progress_bar,
            transformers.enable_progress_bar,
        ),
    ]
    shown = [(hide, show) for on, hide, show in switches if on]
    for hide, _ in shown:
        hide()
    try:
        yield
    finally:
        for _, show in shown:
            show()


@contextmanager
def silent() -> Iterator[None]:
    """No news at all, warnings and errors alone: what Lightning would say of a run where there is none."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def _warnings_only(logger: logging.Logger) -> Iterator[None]:
    """Lightning's handlers write all to standard error; here they keep warnings and errors only."""
    levels = [(handler, handler.level) for handler in logger.handlers]
    for handler, _ in levels:
        handler.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for handler, level in levels:
            handler.setLevel(level)


@contextmanager
def _ours_in_one_line() -> Iterator[None]:
    """Our own warnings look as our errors do; where in the code they arise helps with those of other libraries only."""
    before = warnings.formatwarning

    def formatted(message: Warning | str, category: type[Warning], filename: str, *rest: Any, **line: Any) -> str:
        if not Path(filename).is_relative_to(_PACKAGE):
            return before(message, category, filename, *rest, **line)
        return f"lit-unlearn: warning: {' '.join(str(message).split())}\n"

    warnings.formatwarning = formatted
    try:
        yield
    finally:
        warnings.formatwarning = before


@contextmanager
def _news_on_stdout(logger: logging.Logger) -> Iterator[None]:
    news = _Print()
    logger.addHandler(news)
    try:
        yield
    finally:
        logger.removeHandler(news)


class _Print(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if record.levelno < logging.WARNING and not any(name in message for name in _OF_NO_USE):
            print(message, flush=True)
