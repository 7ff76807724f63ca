"""Sharding on CPUs, where accelerate passes over it: for tests of what holds on several GPUs."""

import accelerate.state
from accelerate.utils import DistributedType

import gistembed.train.feasible


def shard_on_cpus() -> None:
    """Have accelerate shard a model among processes on CPUs, as it does on several GPUs, from now on."""
    begin = accelerate.state.AcceleratorState.__init__

    def begin_sharded(self, *arguments, fsdp_plugin=None, **options):
        begin(self, *arguments, fsdp_plugin=fsdp_plugin, **options)
        if fsdp_plugin is not None and self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.FSDP
            self.fsdp_plugin = fsdp_plugin
            accelerate.state.PartialState._shared_state["distributed_type"] = DistributedType.FSDP

    accelerate.state.AcceleratorState.__init__ = begin_sharded
    gistembed.train.feasible._can_be_sharded = lambda device: True
