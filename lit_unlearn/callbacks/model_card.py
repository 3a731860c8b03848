"""The model card of an unlearned model."""

from importlib.metadata import version
from pathlib import Path

import lightning as L

from lit_unlearn.modules.forgotten import NOTHING, Forgotten, unlearns
from lit_unlearn.modules.hyperparameters import hyperparameters_of
from lit_unlearn.modules.protocols import datamodule_of
from lit_unlearn.modules.unlearn import UnlearnModule
from lit_unlearn.runs.tables import markdown_table

_PACKAGES = ("lit-unlearn", "torch", "lightning", "transformers", "datasets")


def model_card(
    module: UnlearnModule, trainer: L.Trainer, change: Forgotten | None, *, library: str = "transformers"
) -> str:
    """Markdown with the method, the hyperparameters and the last logged results, for what this library loads.

    Args:
        module: in the Trainer.
        trainer: of the run.
        change: what the run did, if it is known; a card claims no more than that.
        library: that loads the model.
    """
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

{_claim(module, change)}

## Method and hyperparameters

{_table(options)}

## Data

{_table(data)}

{_changed(change)}## Results

As last logged in training.

{_table(results)}

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


def _changed(change: Forgotten | None) -> str:
    if change is None:
        return ""
    rows = [
        [stream, f"{one.displacement:.2f}", *("" if nll is None else f"{nll:.3f}" for nll in one[1:])]
        for stream, one in (("forget", change.forget), ("retain", change.retain))
    ]
    heads = (change.rows, "displacement, norms", "NLL before", "NLL after")
    text = "Hidden states after the steering layer, without each row's first token; NLL in nats per token."
    return f"## Change\n\n{text}\n\n{markdown_table(heads, rows)}\n\n"


def _table(values: dict[str, object] | dict[str, str]) -> str:
    texts = [", ".join(map(str, value)) if isinstance(value, list) else str(value) for value in values.values()]
    return markdown_table(("", ""), list(zip(values, texts, strict=True)))
