"""Where apps run: in this process, or in Flower's Simulation and Deployment Engines."""

from fl_ef21.engine.in_process import InProcessGrid, partition_configs

__all__ = ["InProcessGrid", "partition_configs"]
