"""DataModules that pair forget streams with retain streams."""

from lit_unlearn.datamodules.base import UnlearnDataModule
from lit_unlearn.datamodules.demo import DemoDataModule
from lit_unlearn.datamodules.muse import MUSEDataModule
from lit_unlearn.datamodules.rwku import RWKUDataModule
from lit_unlearn.datamodules.tofu import TOFUDataModule
from lit_unlearn.datamodules.wmdp import WMDPDataModule

__all__ = [
    "DemoDataModule",
    "MUSEDataModule",
    "RWKUDataModule",
    "TOFUDataModule",
    "UnlearnDataModule",
    "WMDPDataModule",
]
