"""How `--help` shows the options of a run: lit-unlearn's own first, each in plain text, a class with its command."""

import re
from argparse import Action, HelpFormatter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from jsonargparse import DefaultHelpFormatter

from lit_unlearn.runs import layout

if TYPE_CHECKING:
    from lightning.pytorch.cli import LightningArgumentParser

_OURS, _OURS_WITHIN, _LIBRARIES = "lit_unlearn.", "lit_unlearn.runs.loggers.", ("lightning.", "torch.")
_ROLE = re.compile(r":[a-z]+(?::[a-z]+)*:`~?([^`]*)`")
_LINK = re.compile(r"`([^`<]+?)\s*<([^`>]+)>`__?")
_DIRECTIVE = re.compile(r"\.\. (\w+)::")
_LITERAL = re.compile(r"``([^`]*)``")
_SUBCLASSES = re.compile(r", known subclasses: (.*)\)$", re.DOTALL)
_BOUNDARY = re.compile(r"(?<=[.!?])\s+(?=[A-Z`'\"])")
"""Between sentences."""
_GROUPS = (
    ("model.forget", "model: what is unlearned, and how"),
    ("model.pretrained", "model: what is evaluated"),
    ("data", "data: what is forgotten, what is retained, what is evaluated on"),
    ("ckpt_path", "checkpoint"),
    ("trainer.accelerator", "trainer: Lightning's own options"),
)
"""An option of each group of options and the group's title, in the order of help."""
TEXTS = {
    "config": "file of options in YAML or JSON, or a shipped config's name; of several the later ones win",
    "seed_everything": "seed of everything that is drawn; true takes another one each time",
    "trainer": "file of the Trainer's options",
    "trainer.accelerator": "cpu, gpu, mps, or auto for a GPU where there is one",
    "trainer.strategy": "how processes share the work: auto, ddp, or a class, as in trainer/fsdp2.yaml",
    "trainer.devices": "how many devices of a machine, or their indices; -1 and auto are all",
    "trainer.num_nodes": "machines",
    "trainer.precision": "bf16-true keeps the weights in bfloat16, bf16-mixed computes in it; null is 32-true",
    "trainer.logger": f"wandb, tensorboard, csv or a class; {layout.METRICS} is always written",
    "trainer.callbacks": "what happens besides the steps, in a list; --trainer.callbacks+=NAME adds one to a config's",
    "trainer.fast_dev_run": "a number of batches for a trial that writes no checkpoint; true is 1",
    "trainer.max_epochs": "passes through the longest stream, at most",
    "trainer.max_steps": "optimizer steps, at most; -1 leaves the end to max_epochs",
    "trainer.limit_train_batches": "batches of an epoch: a number, or a share of all",
    "trainer.limit_val_batches": "batches of each evaluation set in validation: a number, or a share of all",
    "trainer.limit_test_batches": "the same of `test`",
    "trainer.limit_predict_batches": "not used: there is no `predict`",
    "trainer.max_time": "time after which training ends, as DAYS:HOURS:MINUTES:SECONDS",
    "trainer.overfit_batches": "train and validate on these few batches: a number, or a share of all",
    "trainer.val_check_interval": "training batches, or the share of an epoch, after which there is a validation",
    "trainer.check_val_every_n_epoch": "epochs after which there is a validation; null counts batches alone",
    "trainer.log_every_n_steps": "steps between two rows of the log; null is 50",
    "trainer.enable_checkpointing": f"false writes no {layout.LAST_CHECKPOINT}, from which an interrupted run resumes",
    "trainer.enable_progress_bar": "false shows no progress",
    "trainer.enable_model_summary": "false does not say what is trained",
    "trainer.gradient_clip_val": "norm, or value, at which gradients are clipped; null clips none",
    "trainer.benchmark": "let cuDNN try its kernels for the fastest; null is torch's own setting",
    "trainer.inference_mode": "evaluate in torch.inference_mode, or else in torch.no_grad",
    "trainer.use_distributed_sampler": "let Lightning share the rows among processes, where a DataModule does not",
    "trainer.barebones": "no checkpoints, logger, progress or summary, to measure the Trainer itself",
    "trainer.plugins": "Lightning's plugins: of precision, of the cluster, of reading and writing checkpoints",
    "trainer.default_root_dir": "folder of the run; null makes one, runs/CONFIG-TIME",
    "model": "file of the model's options",
    "data": "the DataModule: its name, or a file of its name and options",
    "ckpt_path": f"checkpoint from which to resume, such as RUN/{layout.LAST_CHECKPOINT}; `last` resumes the run in "
    "trainer.default_root_dir, or begins it",
    "weights_only": "checkpoints are read as tensors and plain values only, whatever is given; false is refused",
}
"""What options of Lightning's mean here, where its own text is long or says something else."""


class PlainHelp(DefaultHelpFormatter):
    """Help without markup, in which the usage is one line and an option of a class names the command that shows it."""

    def add_usage(self, usage: str | None, actions: Iterable[Action], *args: Any, **kwargs: Any) -> None:
        """One line, whatever the number of options."""
        of_run = any(action.dest == "config" for action in actions)
        short = "%(prog)s [-c CONFIG] [--OPTION VALUE ...]" if of_run else "%(prog)s COMMAND [--OPTION VALUE ...]"
        HelpFormatter.add_usage(self, usage or short, [], [], *args[1:], **kwargs)

    def start_section(self, heading: str | None) -> None:
        """A group of options, whose title is the first line of a docstring."""
        super().start_section(None if heading is None else plain(heading))

    def _format_action(self, action: Action) -> str:
        if action.dest.endswith(".help"):  # which the option itself names
            return ""
        return super()._format_action(action)

    def _format_action_invocation(self, action: Action) -> str:
        """Without `--OPTION+`, which the text of an option names where one uses it."""
        return re.sub(r", --[\w.]+\+ .*", "", super()._format_action_invocation(action))

    def _expand_help(self, action: Action) -> str:
        text = plain(super()._expand_help(action))
        text = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", text)
        return _SUBCLASSES.sub(lambda found: f"; {_classes(found[1].split(', '), beside=text[: found.start()])})", text)


def arrange(parser: "LightningArgumentParser", command: str, description: str) -> None:
    """Puts lit-unlearn's own options before Lightning's, in the help of a command that runs a Trainer.

    Args:
        parser: of the command.
        command: its name.
        description: what the command does.
    """
    parser.description = description
    parser.prog = f"lit-unlearn {command}"
    options = {action.dest: action for action in parser._actions}
    _describe(options)
    first, *others = [group for group in parser._action_groups if group._group_actions]  # the first has --help and -c
    ordered = []
    for name, title in _GROUPS:
        found = next((group for group in others if options.get(name) in group._group_actions), None)
        if found is not None:
            found.title = title
            others.remove(found)
            ordered.append(found)
    parser._action_groups = [first, *ordered, *others]


def _describe(options: Mapping[str, Action]) -> None:
    """Gives each option its text: ours, or the first sentence of Lightning's; with the command that shows its class."""
    for name, action in options.items():
        if name in TEXTS:
            action.help = TEXTS[name]
        elif name.startswith("trainer.") and not name.endswith(".help"):
            action.help = _BOUNDARY.split(" ".join((action.help or "").split()))[0]
        asking = options.get(f"{name}.help")
        if asking is not None:
            shown = f"its options: --{name}.help" if asking.nargs == 0 else f"a class's options: --{name}.help CLASS"
            action.help = f"{(action.help or '').rstrip('.')}; {shown}"
        if name.endswith(".help") and action.nargs == "?":
            action.nargs = None  # the help of what all classes have in common says nothing


def plain(text: str) -> str:
    """A text without the markup of Sphinx.

    Example:
        >>> plain("``None`` or a :class:`datetime.timedelta`, see :meth:`~lightning.Trainer.fit`")
        'None or a datetime.timedelta, see lightning.Trainer.fit'
    """
    text = _ROLE.sub(r"\1", text)
    text = _DIRECTIVE.sub(r"\1:", _LINK.sub(r"\1 (\2)", text))
    return _LITERAL.sub(r"\1", text)


def _classes(paths: list[str], *, beside: str) -> str:
    """The classes that one names in an option, ours first and by their names alone; not those that the text names."""
    ours = [path for path in paths if path.startswith(_OURS) and (path.count(".") == 1 or _OURS_WITHIN in path)]
    others = [path for path in paths if path.startswith(_LIBRARIES) and not path.startswith("lightning.pytorch.cli")]
    said = set(re.findall(r"\w+", beside.rpartition("type: ")[2].partition(", default: ")[0]))
    names = {name: None for path in [*ours, *others] if (name := path.rpartition(".")[2]) not in said}
    return f"classes: {', '.join(names)}" if names else "a class's dotted name"
