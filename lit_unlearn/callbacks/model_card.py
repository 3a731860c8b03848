"""The model card of an unlearned model."""

from importlib.metadata import version
from pathlib import Path

import lightning as L
from huggingface_hub import metadata_load, try_to_load_from_cache

from lit_unlearn.callbacks.card_results import evaluation_table, training_table
from lit_unlearn.modules.forgotten import NOTHING, Change, Forgotten, unlearns
from lit_unlearn.modules.hyperparameters import hyperparameters_of
from lit_unlearn.modules.protocols import datamodule_of
from lit_unlearn.modules.unlearn import UnlearnModule
from lit_unlearn.runs import layout
from lit_unlearn.runs.tables import markdown_table

_LISTED = 6
"""Values of a list that stand in the card one by one."""
_LICENSE = ("license", "license_name", "license_link")
_USE = {
    "transformers": """```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("FOLDER")
tokenizer = AutoTokenizer.from_pretrained("FOLDER")
```""",
    "peft": """```python
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

model = AutoPeftModelForCausalLM.from_pretrained("FOLDER")
tokenizer = AutoTokenizer.from_pretrained("FOLDER")
```""",
}
"""How a model is loaded, by library."""
_PACKAGES = ("lit-unlearn", "torch", "lightning", "transformers", "datasets")


def model_card(
    module: UnlearnModule, trainer: L.Trainer, change: Forgotten | None, *, library: str = "transformers"
) -> str:
    """Markdown: how to load it, what it did to base and unlearned model, the method, its hyperparameters and data.

    Args:
        module: in the Trainer.
        trainer: of the run.
        change: what the run did, if it is known; a card claims no more than that.
        library: that loads the model.
    """
    options = module.hyperparameters() | {"steps": trainer.global_step}
    data = hyperparameters_of(datamodule_of(trainer))
    versions = {name: version(name) for name in (*_PACKAGES, *(["peft"] if module.lora else []))}
    # A local folder is no hub model that a card could link to.
    base = "" if Path(module.pretrained).exists() else f"base_model: {module.pretrained}\n"
    return f"""---
library_name: {library}
pipeline_tag: text-generation
{base}{_license(module)}tags:
- unlearning
- lit-unlearn
---

# {Path(module.model_source.name).name}, unlearned with {type(module.forget).__name__}

{_claim(module, change)}

{_USE[library]}

{_changed(change)}{_results(trainer)}## Method and hyperparameters

{_table(options)}

## Data

{_table(data)}

## Versions

{_table(versions)}
"""


def _claim(module: UnlearnModule, change: Forgotten | None) -> str:
    if not unlearns(module.forget):
        return "This model was trained on with lit-unlearn; nothing was to be unlearned."
    if change is not None and change.nothing:
        return f"**{NOTHING[0].upper()}{NOTHING[1:]}.** Do not use this model as one that has forgotten anything."
    return (
        "Parts of this model's knowledge were to be removed by unlearning with lit-unlearn. Unlearning is not proof "
        "that the knowledge is gone: evaluate the model, its robustness to forget tokens included, before you rely "
        "on it."
    )


def _license(module: UnlearnModule) -> str:
    """The base's license, as its own card says; empty where no card is available."""
    source = module.model_source
    own, name = Path(source.pretrained), layout.MODEL_CARD
    cached = None if own.exists() else try_to_load_from_cache(source.pretrained, name, revision=source.revision)
    path = Path(cached) if isinstance(cached, str) else own / name
    stated = (metadata_load(path) or {}) if path.is_file() else {}
    return "".join(f"{key}: {stated[key]}\n" for key in _LICENSE if key in stated)


def _results(trainer: L.Trainer) -> str:
    """Evaluations before and after, and what was last logged; every logged value is in the run's metrics.csv."""
    parts = [("Evaluation", evaluation_table(trainer)), ("Training", training_table(trainer))]
    return "".join(f"## {title}\n\n{table}\n\n" for title, table in parts if table)


def _changed(change: Forgotten | None) -> str:
    if change is None:
        return ""
    rows = [
        [stream, f"{one.displacement:.2f}", *_nll(one)]
        for stream, one in (("forget", change.forget), ("retain", change.retain))
    ]
    heads = (change.rows, "displacement, norms", "NLL before", "NLL after", "damaged")
    text = "Hidden states after the steering layer, without each row's first token; NLL in nats per token."
    return f"## Change\n\n{text}\n\n{markdown_table(heads, rows)}\n\n"


def _nll(change: Change) -> tuple[str, str, str]:
    if change.nll_before is None or change.nll_after is None:
        return "", "", ""
    return f"{change.nll_before:.3f}", f"{change.nll_after:.3f}", change.told_damaged


def _table(values: dict[str, object] | dict[str, str]) -> str:
    return markdown_table(("", ""), [(name, _text(value)) for name, value in values.items()])


def _text(value: object) -> str:
    """A value; of a long list its number and its ends.

    Example:
        >>> _text(["a", "b"]), _text([*"abcdefghij"]), _text(None)
        ('a, b', '10: a to j', 'None')
    """
    if not isinstance(value, list):
        return str(value)
    return f"{len(value)}: {value[0]} to {value[-1]}" if len(value) > _LISTED else ", ".join(map(str, value))
