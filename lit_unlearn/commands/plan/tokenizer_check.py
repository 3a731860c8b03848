"""Whether the rows can be made: the tokenizer, its tokens, and the chat template of conversations."""

from collections.abc import Iterator

from lit_unlearn.callbacks.answer_evaluation import AnswerEvaluation
from lit_unlearn.commands.plan.check import Check, refused
from lit_unlearn.commands.plan.config import PlanCLI
from lit_unlearn.data.chat import chat_template
from lit_unlearn.data.rows import check_rendered
from lit_unlearn.data.vocabulary import embeddings_taken
from lit_unlearn.models.checks import check_vocabulary
from lit_unlearn.models.loading import load_config
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.tokenizer import load_tokenizer


def check_tokenizer(config: PlanCLI) -> Iterator[Check]:
    """The check of the tokenizer, which is loaded.

    Args:
        config: of the run.
    """
    given, source = config.datamodule.tokenizer, config.model.model_source

    def check() -> None:
        tokenizer = load_tokenizer(source if given is None else ModelSource(given))
        check_vocabulary(load_config(source), embeddings_taken(tokenizer))
        for stream in (*config.datamodule.forget.values(), *config.datamodule.retain.values()):
            if stream.format != "text":
                check_rendered(stream, tokenizer)
        callbacks = config.trainer_options.callbacks or []
        if any(isinstance(one, AnswerEvaluation) for one in callbacks):
            for asked in (config.datamodule.answers or {}).values():
                if asked.format == "chat":
                    chat_template(asked.chat_template, tokenizer, asked.path)

    yield refused(check) or Check("tokenizer", "ok", "can be loaded")
