"""Load a tokenizer."""

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from lit_unlearn.data.hub import check_model_reachable
from lit_unlearn.errors import InputError
from lit_unlearn.models.gguf import REMEDY, holds_gguf
from lit_unlearn.models.source import ModelSource


def load_tokenizer(source: ModelSource) -> PreTrainedTokenizerBase:
    """The tokenizer of a model, or one that lies alone in a folder; that beside an adapter comes first.

    Raises:
        InputError: there is none.
    """
    name = source.tokenizer
    check_model_reachable(f"data.tokenizer: {name!r}", name, source.revision)
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            name, revision=source.revision, trust_remote_code=source.trust_remote_code
        )
    except (OSError, ValueError) as error:
        if holds_gguf(name):
            raise InputError(f"data.tokenizer: {name!r} holds a GGUF file and no tokenizer; {REMEDY}") from error
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"data.tokenizer: {name!r} has no tokenizer that can be loaded ({reason}); give a hub name or folder"
        ) from error
    return tokenizer
