"""The arguments that all strategies take."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from fl_ef21.compressors import Compressor
from fl_ef21.flower.server.clients import ByClient
from fl_ef21.flower.server.round import MetricsAggregator
from fl_ef21.methods.downlink import Downlink
from fl_ef21.methods.server import ServerStep
from fl_ef21.theory import Constants


class FedAvgArguments(TypedDict, total=False):
    """FedAvg's arguments, with its names, meanings and defaults."""

    fraction_train: float
    fraction_evaluate: float
    min_train_nodes: int
    min_evaluate_nodes: int
    min_available_nodes: int
    weighted_by_key: str
    arrayrecord_key: str
    configrecord_key: str
    train_metrics_aggr_fn: MetricsAggregator | None
    evaluate_metrics_aggr_fn: MetricsAggregator | None


class Options(FedAvgArguments, total=False):
    """What every strategy takes beside its method and compressor; see ErrorFeedbackStrategy."""

    server: ServerStep | None
    downlink: Downlink | None
    budget: int | None
    probabilities: ByClient[float] | None
    constants: Constants | None
    stochastic: bool | None
    signal: str
    scope: str
    exact_below: int
    layers: Mapping[str, Compressor | str] | None
    ratio_warmup: int
    seed: int
    min_replies: int
    mirror: str
    checkpoint_dir: str | Path | None
    checkpoint_every: int
    journal_dir: str | Path | None
    norm_bound: float | None
    max_weight: float
