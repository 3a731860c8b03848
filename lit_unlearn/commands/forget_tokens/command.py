"""`lit-unlearn forget-tokens`: the n-grams of the forget stream most, averagely and least similar to their document."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lit_unlearn.commands.fit.config_cli import ConfigCLI
from lit_unlearn.commands.forget_tokens.ngrams import Document, Scored, Settings, draw_documents, score
from lit_unlearn.commands.forget_tokens.representations import Representations
from lit_unlearn.commands.forget_tokens.similarity import mean_scores, ranked
from lit_unlearn.commands.log_filter import quiet
from lit_unlearn.commands.options.command_parser import CommandParser
from lit_unlearn.commands.options.words import Words
from lit_unlearn.data.fingerprints import tokenizer_fingerprint, values_fingerprint
from lit_unlearn.data.vocabulary import embeddings_taken
from lit_unlearn.datamodules import UnlearnDataModule
from lit_unlearn.errors import InputError, check_at_least
from lit_unlearn.models import loading
from lit_unlearn.models.checks import check_vocabulary
from lit_unlearn.models.first_layers import FirstLayers
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.models.precision import weights_dtype
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.tokenizer import load_tokenizer
from lit_unlearn.questions.similar_ngrams import CLASSES
from lit_unlearn.runs.atomic_files import check_makable, write_whole
from lit_unlearn.runs.partial_results import PartialResults

_TOP = 10
_TOGETHER = 16
"""Documents of a part; what is done is kept part by part."""


def main(words: Sequence[str]) -> None:
    """Scores n-grams of the forget stream, writes the first of each class as JSON and prints some.

    Raises:
        InputError: an option, the model or the data cannot be used.
    """
    options, shared = _parser().parse_known_args(words)
    settings = Settings(options.documents, options.ngrams_per_document, tuple(options.lengths), options.seed)
    _check(settings, options.out)
    with quiet():
        config = ConfigCLI(Words.read(shared, command="fit"))
        found = find(config, settings, options.out)
    print(_table(found))
    print(f"Wrote {options.out}. Perturb with it: {{n: {settings.lengths[0]}, similarity: most, file: {options.out}}}")


def find(config: ConfigCLI, settings: Settings, out: Path) -> dict[str, Any]:
    """Scores n-grams and writes the file, resuming where the same command was interrupted."""
    data, tokenizer = config.datamodule, _tokenizer(config)
    check_vocabulary(loading.load_config(config.model.model_source), embeddings_taken(tokenizer))
    data.prepare_texts()
    documents = draw_documents(list(data.forget.values()), tokenizer, settings.documents, seed=settings.seed)
    facts = _facts(config, tokenizer, documents, settings)
    out.parent.mkdir(parents=True, exist_ok=True)
    kept = PartialResults(out.with_name(f".{out.name}.partial"), values_fingerprint(facts, _weights(config)))
    scored = _score_parts(config, tokenizer, documents, settings, kept)
    try:
        found = {**facts, "ngrams": {str(n): _classes(scored, n) for n in settings.lengths}}
    except InputError:
        kept.discard()  # no other options would take them up
        raise
    write_whole(out, json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    kept.discard()
    return found


def _score_parts(
    config: ConfigCLI,
    tokenizer: PreTrainedTokenizerBase,
    documents: Sequence[Document],
    settings: Settings,
    kept: PartialResults,
) -> list[Scored]:
    represent = Representations(_load(config), tokenizer, config.model.layer, config.model.decoder_layers)
    with tqdm(total=len(documents), desc="n-grams", unit="document") as bar:
        for part in range(-(-len(documents) // _TOGETHER)):
            chosen = documents[part * _TOGETHER : (part + 1) * _TOGETHER]
            if part not in kept:
                kept.add(part, score(chosen, tokenizer, represent, settings))
            bar.update(len(chosen))
    return [scored for part in sorted(kept) for scored in kept[part]]


def _load(config: ConfigCLI) -> PreTrainedModel:
    """The frozen model's first layers on its device; those that need not run are not loaded."""
    module, trainer = config.model, config.trainer
    dtype = weights_dtype(str(trainer.precision))
    shape = module.without_weights(dtype)
    part = FirstLayers.of(shape, decoder_layers(shape, module.decoder_layers), module.layer)
    model = loading.load_model(module.model_source, dtype, part=part)
    return cast(PreTrainedModel, model.to(trainer.strategy.root_device))  # type: ignore[arg-type]


def _tokenizer(config: ConfigCLI) -> PreTrainedTokenizerBase:
    """The one that training with this config has."""
    module, data = config.model, config.datamodule
    if not isinstance(data, UnlearnDataModule):
        raise InputError(
            f"data: {type(data).__name__} has no forget stream of texts; take UnlearnDataModule or one that extends it"
        )
    return load_tokenizer(module.model_source if data.tokenizer is None else ModelSource(data.tokenizer))


def _facts(
    config: ConfigCLI, tokenizer: PreTrainedTokenizerBase, documents: Sequence[Document], settings: Settings
) -> dict[str, Any]:
    """What the file says of how it was made."""
    return {
        "model": config.config["fit"].model.pretrained,
        "revision": config.model.revision,
        "layer": config.model.layer,
        "precision": str(config.trainer.precision),
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "corpus": values_fingerprint([(document.text, document.input_ids) for document in documents]),
        **settings._asdict(),
        "documents": len(documents),
    }


def _weights(config: ConfigCLI) -> list[Any]:
    """What tells a model's weights from others that were at the same place before."""
    source = config.model.model_source
    folders = [source.pretrained] if source.adapter is None else [source.pretrained, source.adapter]
    files = [path for folder in folders for path in sorted(Path(folder).glob("*.safetensors"))]
    loaded = loading.load_config(source)
    return [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files] + [
        getattr(loaded, "_commit_hash", None)  # of a hub model
    ]


def _classes(scored: Sequence[Scored], n: int) -> dict[str, Any]:
    """The first n-grams of each class, of those with n tokens."""
    scores = mean_scores((text, value) for length, text, value in scored if length == n)
    if not scores:
        raise InputError(
            f"forget-tokens.lengths: the forget stream has no n-gram of {n} tokens; leave it out, or give longer texts"
        )
    classes: dict[str, Any] = {
        name: [{"text": text, "similarity": scores[text]} for text in texts]
        for name, texts in ranked(scores, _TOP).items()
    }
    return {"scored": len(scores), "mean_similarity": sum(scores.values()) / len(scores), **classes}


def _table(found: Mapping[str, Any]) -> str:
    lines = []
    for n, classes in found["ngrams"].items():
        lines.append(f"{n} tokens: {classes['scored']} n-grams, mean similarity {classes['mean_similarity']:.3f}")
        for name in CLASSES:
            shown = "; ".join(f"{one['text']} ({one['similarity']:.3f})" for one in classes[name][:3])
            lines.append(f"  {name:5} {shown}")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="lit-unlearn forget-tokens",
        description="Finds the n-grams of the forget stream whose hidden states at model.layer are most, averagely or "
        "least similar to those of their own document. Model and data are a config's, -c CONFIG; all other options are "
        "those of fit. After an interruption the same command resumes.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--out", type=Path, default=Path("forget_tokens.json"), help="file to write (default: forget_tokens.json)"
    )
    parser.add_argument("--documents", type=int, default=1000, help="rows of the stream that are drawn (default: 1000)")
    parser.add_argument(
        "--ngrams-per-document", type=int, default=8, help="n-grams of each length from each row (default: 8)"
    )
    parser.add_argument(
        "--lengths", type=int, nargs="+", default=[2, 4, 8, 16], help="tokens of the n-grams (default: 2 4 8 16)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws (default: 0)")
    return parser


def _check(settings: Settings, out: Path) -> None:
    check_makable(out, "forget-tokens.out")
    for name in ("documents", "ngrams_per_document"):
        check_at_least(f"forget-tokens.{name.replace('_', '-')}", getattr(settings, name), 1)
    if min(settings.lengths) < 1 or len(set(settings.lengths)) < len(settings.lengths):
        raise InputError(
            f"forget-tokens.lengths: must be different numbers of at least 1, got {list(settings.lengths)}"
        )
    if out.is_dir():
        raise InputError(
            f"forget-tokens.out: {out} is a folder; give the name of a file, e.g. {out}/forget_tokens.json"
        )
