"""The public names, each where it is defined; `lit_unlearn` imports one when it is first used."""

from . import randomness as randomness
from .answers.source import AnswerSource as AnswerSource
from .callbacks import AnswerEvaluation as AnswerEvaluation
from .callbacks import ExportPretrained as ExportPretrained
from .callbacks import Generations as Generations
from .callbacks import Interpolation as Interpolation
from .callbacks import LastCheckpoint as LastCheckpoint
from .callbacks import LikelihoodRobustness as LikelihoodRobustness
from .callbacks import LMEvalHarness as LMEvalHarness
from .callbacks import PerturbationRobustness as PerturbationRobustness
from .callbacks import StopAtForgetting as StopAtForgetting
from .data import Mixing as Mixing
from .data import TextSource as TextSource
from .datamodules import DemoDataModule as DemoDataModule
from .datamodules import TOFUDataModule as TOFUDataModule
from .datamodules import UnlearnDataModule as UnlearnDataModule
from .datamodules import WMDPDataModule as WMDPDataModule
from .distributed.fsdp1 import FSDP1 as FSDP1
from .distributed.outside_step import outside_step as outside_step
from .errors import InputError as InputError
from .losses import DPO as DPO
from .losses import NPO as NPO
from .losses import RMU as RMU
from .losses import RSV as RSV
from .losses import WGA as WGA
from .losses import AdaptiveRMU as AdaptiveRMU
from .losses import GradientAscent as GradientAscent
from .losses import Relearning as Relearning
from .losses import SimNPO as SimNPO
from .losses import functional as functional
from .losses import likelihood as likelihood
from .losses.contract import Batch as Batch
from .losses.contract import Loss as Loss
from .losses.contract import Outputs as Outputs
from .losses.contract import PerTopic as PerTopic
from .losses.no_loss import NoLoss as NoLoss
from .losses.retain import NLL as NLL
from .losses.retain import LogitKL as LogitKL
from .losses.retain import LogitMSE as LogitMSE
from .losses.retain import RepresentationMSE as RepresentationMSE
from .models.lora import Lora as Lora
from .modules.question import QuestionModule as QuestionModule
from .modules.unlearn import UnlearnModule as UnlearnModule
from .running.prefix_store import PrefixStore as PrefixStore

__version__: str
