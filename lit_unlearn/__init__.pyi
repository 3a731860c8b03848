"""The public names, each where it is defined; `lit_unlearn` imports one when it is first used."""

from . import functional as functional
from . import likelihood as likelihood
from . import randomness as randomness
from .callbacks import ExportPretrained as ExportPretrained
from .callbacks import Generations as Generations
from .callbacks import LastCheckpoint as LastCheckpoint
from .callbacks import LMEvalHarness as LMEvalHarness
from .callbacks import PerturbationRobustness as PerturbationRobustness
from .data import DemoDataModule as DemoDataModule
from .data import Mixing as Mixing
from .data import TextSource as TextSource
from .data import UnlearnDataModule as UnlearnDataModule
from .data import WMDPDataModule as WMDPDataModule
from .errors import InputError as InputError
from .forget import DPO as DPO
from .forget import NPO as NPO
from .forget import RMU as RMU
from .forget import RSV as RSV
from .forget import AdaptiveRMU as AdaptiveRMU
from .forget import GradientAscent as GradientAscent
from .forget import Relearning as Relearning
from .forget import SimNPO as SimNPO
from .fsdp1 import FSDP1 as FSDP1
from .lora import Lora as Lora
from .loss import Batch as Batch
from .loss import Loss as Loss
from .loss import Outputs as Outputs
from .loss import PerTopic as PerTopic
from .module import UnlearnModule as UnlearnModule
from .no_loss import NoLoss as NoLoss
from .outside import outside_step as outside_step
from .prefix_store import PrefixStore as PrefixStore
from .question_module import QuestionModule as QuestionModule
from .retain import NLL as NLL
from .retain import LogitKL as LogitKL
from .retain import LogitMSE as LogitMSE
from .retain import RepresentationMSE as RepresentationMSE

__version__: str
