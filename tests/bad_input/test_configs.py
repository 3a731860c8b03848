"""Configs that cannot be: the refusal names the option, its value, what was expected and the remedy.

Misspelt options and classes, wrong types and missing options are in tests/commands/fit/test_cli.py.
"""

from pathlib import Path

import pytest

from lit_unlearn.cli import main
from tests.bad_input.refusing import Config, Refused, write
from tests.fast import some

MODEL = {
    "layer: 1.5": ("model.layer: '1.5'", "expected int"),
    "layer: -1": ("model.layer: -1", "count from 0"),
    "layer: 10": ("model.layer: 10 is out of range", "layers 0 to 9"),
    "noise_scale: .nan": ("model.noise_scale: nan is not a standard deviation", "give 0 or more"),
    "noise_scale: .inf": ("model.noise_scale: inf", "give 0 or more"),
    "noise: {class_path: DisplacementNoise, init_args: {directions: 0}}": (
        "model.noise.directions: must be at least 1, got 0",
    ),
    "{noise: AdversarialNoise, noise_scale: 0.1, noise_layer: 0}": ("model.noise_layer: AdversarialNoise", "leave"),
    "noise: RMU": ("model.noise: ",),
    "noise_layer: -2": ("model.noise_layer: -2 is out of range", "layers 0 to 9"),
    "retain_weight: [1, 2, 3]": ("model.retain_weight: 3 values for 2 topics (alchemy, navigation)", "one for each"),
    "retain_weight: []": ("model.retain_weight: 0 values for 2 topics", "give one number for all"),
    "retain_weight: .nan": ("model.retain_weight: nan", "give finite numbers"),
    "retain_weight: [1, .inf]": ("model.retain_weight: [1.0, inf]", "give finite numbers"),
    "retain_weight: -1": ("model.retain_weight: -1.0 would drive the retain loss up", "give 0 or more"),
    "forget: {class_path: RMU, init_args: {coefficient: .nan}}": ("model.forget.coefficient: nan", "finite"),
    "forget: {class_path: RMU, init_args: {coefficient: [a, b]}}": ("model.forget.coefficient: ['a', 'b']", "float"),
    "forget: {class_path: AdaptiveRMU, init_args: {scale: [.inf, 1]}}": ("model.forget.scale: [inf, 1.0]", "finite"),
    "forget: {class_path: NPO, init_args: {beta: 0}}": ("model.forget.beta: 0.0 is not an inverse", "above 0"),
    "forget: {class_path: SimNPO, init_args: {beta: -1}}": ("model.forget.beta: -1.0", "e.g. 0.1"),
    "forget: {class_path: DPO, init_args: {beta: .nan}}": ("model.forget.beta: nan", "above 0"),
    "forget: {class_path: WGA, init_args: {exponent: -1}}": ("model.forget.exponent: -1.0", "give 0 or more"),
    "forget: {class_path: SatImp, init_args: {beta2: .nan}}": ("model.forget.beta2: nan", "give 0 or more"),
    "forget: {class_path: CEU, init_args: {ignored_tokens: -1}}": (
        "model.forget.ignored_tokens: must be at least 0, got -1",
    ),
    "forget: {class_path: UNDIAL, init_args: {strength: .inf}}": ("model.forget.strength: inf", "e.g. 10"),
    "{forget: {class_path: CircuitBreaker, init_args: {lower_layers: [7]}}, layer: 7}": (
        "model.forget.lower_layers: 7 does not lie below the steering layer, 7",
        "below it",
    ),
    "{forget: {class_path: CircuitBreaker, init_args: {lower_layers: [1]}}, layer: 7}": (
        "model.forget.lower_layers: 1 lies below layer 5, the first that is trained",
        "give 5 or more",
    ),
    "forget: os.system": ("model.forget: os.system is no Loss", "choose AdaptiveRMU", "one of your own"),
    "forget: {class_path: subprocess.Popen, init_args: {args: ['true']}}": ("subprocess.Popen is no Loss", "choose"),
    "{forget: NoLoss, retain: NoLoss, noise_scale: 0}": ("both are NoLoss", "give one a loss"),
    "{retain: RMU, noise_scale: 0}": ("model.retain: RMU is a forget loss", "e.g. RepresentationMSE"),
    "trainable: ['(']": ("model.trainable: '('", "is not a regular expression"),
    "trainable: []": ("model.trainable: no expression given", "leave it out"),
    "trainable: [nothing]": ("model.trainable: 'nothing' matches the whole name of no parameter", "nearest names"),
    "{trainable: ['model.layers.9.mlp.down_proj.weight'], layer: 3}": ("lies above layer 3", "up to it only"),
    "lora: {r: 0}": ("model.lora.r: 0 is not a rank", "give 1 or more"),
    "attention_dropout: 1.0": ("model.attention_dropout: 1.0 is not a rate", "below 1"),
    "decoder_layers: nowhere": ("is named 'nowhere'", "set model.decoder_layers to one of ['model.layers']"),
    "attn_implementation: zzz": ("model.attn_implementation: 'zzz' cannot be used", "sdpa"),
    "trust_remote_code: maybe": ("model.trust_remote_code: 'maybe'", "expected bool"),
    "lr_scheduler: {class_path: CosineAnnealingLR, init_args: {T_max: 0}}": ("model.lr_scheduler: ", "by zero", "fix"),
    "lr_scheduler: {class_path: CosineAnnealingLR, init_args: {T_max: a}}": ("T_max: 'a' cannot be", "expected int"),
    "lr_scheduler: {class_path: ReduceLROnPlateau}": ("model.lr_scheduler: ", "expected Callable", "LRScheduler"),
    "optimizer: {class_path: AdamW, init_args: {lr: .inf}}": ("model.optimizer.lr: inf", "a finite number"),
    "optimizer: {class_path: AdamW, init_args: {lr: .nan}}": ("model.optimizer: Invalid learning rate: nan",),
    "optimizer: {class_path: AdamW, init_args: {betas: [2, 3]}}": ("model.optimizer: Invalid beta", "2.0"),
    "optimizer: {class_path: AdamW, init_args: {betas: [0.9]}}": ("betas: [0.9] cannot be used", "2 elements"),
}
DATA = {
    "retain: {}": ("data.forget and data.retain: each needs at least one source",),
    "retain: {a: {path: a.txt}, b: {path: b.txt}}": ("data.retain: a, b do not match the topics alchemy", "give one"),
    "batch_size: -1": ("data.batch_size: must be at least 1, got -1",),
    "holdout: 3": ("data.holdout: 3 rows", "give a multiple of data.batch_size"),
    "holdout: 400": ("data.holdout: 400 of alchemy's 60 rows leave none to train on",),
    "holdout: 1.5": ("data.holdout: 1.5 is not a share of rows", "give one below 1"),
    "holdout: 0.01": ("data.holdout: 0.01 of alchemy's 60 rows are less than a batch of 4", "give a larger share"),
    "limit: 0": ("data.limit: must be at least 1, got 0",),
    "num_workers: -1": ("data.num_workers: must be at least 0, got -1",),
    "forget: {a: {path: a.txt, max_length: 0}}": ("a.txt: max_length must be at least 1", "got 0 and"),
    "mixing: {rate: 2, spans: 1, length: 2}": ("data.mixing.rate: 2.0 is not a share", "up to 1"),
    "mixing: {rate: 0.5, unit: rows, length: 2}": ("data.mixing.length: 2 belongs to unit spans", "remove it"),
    "mixing: {rate: 0.5, spans: 1, length: []}": ("data.mixing.length: must be at least 1, got []",),
    "mixing: {rate: 0.5, spans: 1, length: 5000}": ("no row of alchemy has 5000 tokens", "lower data.mixing.length"),
    "tokenizer: nowhere": ("data.tokenizer: 'nowhere'", "give a hub name or folder"),
}
TRAINER = {
    "max_steps: many": ("trainer.max_steps: 'many'", "expected int"),
    "max_steps: -5": ("trainer: `max_steps` must be", "-5"),
    "devices: -3": ("trainer.devices: -3 is not a number", "give 1 or more"),
    "precision: 8": ("trainer.precision: '8'", "expected one of"),
    "precision: transformer-engine": ("'transformer-engine' is not supported", "choose one"),
    "accumulate_grad_batches: 0": ("trainer.accumulate_grad_batches: must be at least 1, got 0",),
    "gradient_clip_val: -1": ("trainer.gradient_clip_val: must be at least 0, got -1",),
    "log_every_n_steps: -1": ("trainer.log_every_n_steps: must be at least 0, got -1",),
    "callbacks: [null]": ("trainer.callbacks: [None]", "expected list[Callback]"),
    "callbacks: [{class_path: Generations, init_args: {max_new_tokens: 0}}]": (
        "max_new_tokens: must be at least 1, got 0",
    ),
    "callbacks: [{class_path: RetainConstraint, init_args: {limit: .nan}}]": (
        "RetainConstraint.limit: must be finite, got nan",
    ),
    "callbacks: [{class_path: RetainSchedule, init_args: {steps: 0}}]": (
        "RetainSchedule.steps: must be at least 1, got 0",
    ),
    "callbacks: [PerturbationRobustness]": ("there are no questions", "set data.evaluation.questions"),
}
FILES = {
    "": ("o.yaml holds no options", "expected lines such as `model:`"),
    "hello": ("o.yaml holds no options", "see a shipped config"),
    "- a": ("o.yaml holds no options",),
    "model: null": ("model: None in", "expected a mapping of options"),
    "model:\n\tlayer: 3": ("o.yaml, line 2: not YAML", "fix the file"),
    "model:\n  layer: 3\n  layer: 4": ("o.yaml, line 3: 'layer' is given a second time", "keep one"),
    "model: {layer: 3}\nmodel: {layer: 4}": ("o.yaml, line 2: 'model' is given a second time", "keep one"),
    "model: !!python/object/apply:os.system ['touch pwned']": ("line 1: not YAML", "constructor", "fix the file"),
    "\0": ("o.yaml: not YAML", "fix the file"),
    "a: &a [*a]": ("--config: options are nested within themselves", "fix the file"),
    f"a: {'[' * 2000}": ("o.yaml is nested too deep", "fix the file"),
    "seed_everything: -3": ("seed_everything: -3 is not in bounds", "give a number in between"),
    "weights_only: false\nckpt_path: a.ckpt": ("ckpt_path: a.ckpt does not exist",),
    "weights_only: false": ("weights_only: false would run code that is in the checkpoint", "leave it out"),
    "modell: {layer: 3}": ("modell.layer: there is no such option", "did you mean model.layer?"),
}
OVERLAYS = (
    {f"model: {{{text.strip('{}') if text[0] == '{' else text}}}": said for text, said in MODEL.items()}
    | {f"data: {{init_args: {{{text}}}}}": said for text, said in DATA.items()}
    | {f"trainer: {{{text}}}": said for text, said in TRAINER.items()}
    | FILES
)


@pytest.mark.parametrize("text", some(OVERLAYS))
def test_a_config_that_cannot_be_is_refused(text: str, config: Config, inputs: Path, refused: Refused) -> None:
    overlay = write(inputs / "o.yaml", text)
    refused(["fit", "-c", write(inputs / "base.yaml", config), "-c", overlay], *OVERLAYS[text])


def test_a_config_that_is_not_utf8_is_refused(inputs: Path, refused: Refused) -> None:
    (inputs / "o.yaml").write_bytes(b"model: {pretrained: caf\xe9}")
    refused(["fit", "-c", str(inputs / "o.yaml")], "o.yaml: not YAML", "utf-8", "fix the file")


def test_nothing_is_logged_every_0_steps(config: Config, inputs: Path) -> None:
    config["trainer"] |= {"log_every_n_steps": 0, "callbacks": None, "default_root_dir": "run"}
    main(["fit", "-c", write(inputs / "base.yaml", config)])
    assert not Path("run/metrics.csv").exists()


def test_an_adapter_on_modules_that_are_not_there_is_refused(config: Config, inputs: Path, refused: Refused) -> None:
    config["model"]["lora"] = {"r": 2, "target_modules": ["zzz"]}
    said = ("model.lora.target_modules: 'zzz'", "of no module")
    refused(["fit", "-c", write(inputs / "base.yaml", config)], *said)
