"""The model card of an unlearned model."""

from importlib.metadata import version
from pathlib import Path

import lightning as L

from lit_unlearn.modules.hyperparameters import hyperparameters_of
from lit_unlearn.modules.protocols import datamodule_of
from lit_unlearn.modules.unlearn import UnlearnModule
from lit_unlearn.runs.tables import markdown_table

_PACKAGES = ("lit-unlearn", "torch", "lightning", "transformers", "datasets")


def model_card(module: UnlearnModule, trainer: L.Trainer, *, library: str = "transformers") -> str:
    """Markdown with the method, the hyperparameters and the last logged results, for what this library loads."""
    options = module.hyperparameters() | {"steps": trainer.global_step}
    data = hyperparameters_of(datamodule_of(trainer))
    results = {name: f"{float(value):.6g}" for name, value in sorted(trainer.callback_metrics.items())}
    versions = {name: version(name) for name in (*_PACKAGES, *(["peft"] if module.lora else []))}
    # A local folder is no hub model that a card could link to.
    base = "" if Path(module.pretrained).exists() else f"base_model: {module.pretrained}\n"
    return f"""---
library_name: {library}
pipeline_tag: text-generation
{base}tags:
- unlearning
- lit-unlearn
---

# {Path(module.model_source.name).name}, unlearned with {type(module.forget).__name__}

Parts of this model's knowledge were removed by unlearning with lit-unlearn. Unlearning is not proof that the knowledge
is gone: evaluate the model, its robustness to forget tokens included, before you rely on it.

## Method and hyperparameters

{_table(options)}

## Data

{_table(data)}

## Results

As last logged in training.

{_table(results)}

## Versions

{_table(versions)}
"""


def _table(values: dict[str, object] | dict[str, str]) -> str:
    texts = [", ".join(map(str, value)) if isinstance(value, list) else str(value) for value in values.values()]
    return markdown_table(("", ""), list(zip(values, texts, strict=True)))
