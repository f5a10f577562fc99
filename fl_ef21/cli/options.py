"""The flags: their types, limits and help, in the order of the help."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer

from fl_ef21.engine.studies import Setting, find_study

DEFAULT_STUDY: Final = "quickstart"
METHOD: Final = "Method"
PROBLEM: Final = "Problem"
RUN: Final = "Run"


class Engine(StrEnum):
    """Where a study runs."""

    SIMULATION = "simulation"
    IN_PROCESS = "in-process"


class TableForm(StrEnum):
    """How a table is printed for another program."""

    MARKDOWN = "md"
    CSV = "csv"


class Scope(StrEnum):
    """What a compressor sees of a model."""

    GLOBAL = "global"
    LAYER = "layer"


class Initialisation(StrEnum):
    """A client's first estimate."""

    COMPRESSED = "compressed"
    FULL = "full"
    ZERO = "zero"


def _default(key: str) -> str:
    """Return a default as help shows it, from the one place where it stands."""
    try:
        value = find_study(DEFAULT_STUDY).settings[key]
        return f"{DEFAULT_STUDY}: {'none' if value == '' else value}"
    except (ValueError, KeyError):
        return "the study's"


Data: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|PATH",
        help="The data set: a known name, or a LIBSVM file (.bz2 and .gz are fine).",
        show_default=_default("data"),
        rich_help_panel=PROBLEM,
    ),
]
Clients: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="How many clients share the data.",
        show_default=_default("clients"),
        rich_help_panel=PROBLEM,
    ),
]
Partition: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="KIND",
        help="How the data are split: dirichlet:0.3 skews the labels (smaller is more skewed),"
        " contiguous cuts the file into chunks.",
        show_default=_default("partition"),
        rich_help_panel=PROBLEM,
    ),
]
Method: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="METHOD",
        help="What clients and server compute: ef21, ef21+, ef21-w, ef21-pp, ef21-sgdm:0.1, ...;"
        " all are in docs/methods.md, and a wrong word lists them.",
        show_default=_default("method"),
        rich_help_panel=METHOD,
    ),
]
CompressorText: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="COMPRESSOR",
        help="What a client sends: topk:0.02 the largest 2 % of the entries, topk:5 the"
        " largest five, identity everything; diana, marina and dasha need unbiased-randk:0.02"
        " or another unbiased one.",
        show_default=f"{_default('compressor')}, or what fits the method",
        rich_help_panel=METHOD,
    ),
]
StepSize: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="RULE",
        help="The server's step: a number; theory, published or 2021 for a theorem's; auto; or"
        " another rule that the study knows by name, as quickstart knows 1/L.",
        show_default=_default("step-size"),
        rich_help_panel=METHOD,
    ),
]
ServerText: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="STEP",
        help="What the server does with the estimate: descent, heavy-ball:0.9, prox:l1:0.01,"
        " box:0:1 or regularised:l2:0.1.",
        show_default=_default("server"),
        rich_help_panel=METHOD,
    ),
]
DownlinkText: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="COMPRESSOR",
        help="What the server compresses with, as topk:0.1, for ef21-bc and ef21-p; with another"
        " method ef21-p:topk:0.1.",
        show_default=_default("downlink"),
        rich_help_panel=METHOD,
    ),
]
Participation: TypeAlias = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        min=0,
        max=1,
        help="Share of the clients that take part in a round.",
        show_default=_default("participation"),
        rich_help_panel=METHOD,
    ),
]
ScopeWord: TypeAlias = Annotated[
    Scope | None,
    typer.Option(
        metavar="WORD",
        help="global compresses all arrays of the model as one vector, layer each by itself.",
        show_default=_default("scope"),
        rich_help_panel=METHOD,
    ),
]
InitialisationWord: TypeAlias = Annotated[
    Initialisation | None,
    typer.Option(
        metavar="WORD",
        help="A client's first estimate: compressed is its compressed gradient, full the whole"
        " one, and zero is 0.",
        show_default=_default("initialisation"),
        rich_help_panel=METHOD,
    ),
]
Minibatch: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="ROWS",
        min=0,
        help="Rows of a client's gradient; 0 for all.",
        show_default=_default("minibatch"),
        rich_help_panel=METHOD,
    ),
]
Rounds: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Rounds of each method.",
        show_default=_default("rounds"),
        rich_help_panel=RUN,
    ),
]
EngineWord: TypeAlias = Annotated[
    Engine | None,
    typer.Option(
        help="simulation: Flower's Simulation Engine, as in flwr run."
        " in-process: the same app in this process, without the engine's start-up; studies of"
        " thousands of rounds take that by themselves.",
        show_default="simulation",
        rich_help_panel=RUN,
    ),
]
Full: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--full",
        help="The paper's size, from the study's full.toml; other flags go before it.",
        rich_help_panel=RUN,
    ),
]
Out: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="A new folder for the records.",
        show_default="results/STUDY/TIME",
        metavar="DIR",
        rich_help_panel=RUN,
    ),
]
Seed: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        help="Decides everything that is random.",
        show_default=_default("seed"),
        rich_help_panel=RUN,
    ),
]
Checkpoint: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--checkpoint",
        help="Keep a checkpoint after every round, and the clients' state on disk.",
        rich_help_panel=RUN,
    ),
]
Journal: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--journal",
        help="Write down on both sides what was sent and applied, for fl-ef21 audit.",
        rich_help_panel=RUN,
    ),
]
Resume: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Go on with the run in this folder, which was started with --checkpoint; with"
        " --rounds for more of them.",
        rich_help_panel=RUN,
    ),
]
More: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any other setting of the study; may be given several times.",
        rich_help_panel=PROBLEM,
    ),
]
Table: TypeAlias = Annotated[
    TableForm | None,
    typer.Option(
        "--table",
        help="Print the table as Markdown or CSV, and nothing else, to standard output.",
    ),
]

SETTINGS: Final[Mapping[str, Any]] = {
    "data": Data,
    "clients": Clients,
    "partition": Partition,
    "method": Method,
    "compressor": CompressorText,
    "step_size": StepSize,
    "server": ServerText,
    "downlink": DownlinkText,
    "participation": Participation,
    "scope": ScopeWord,
    "initialisation": InitialisationWord,
    "minibatch": Minibatch,
    "rounds": Rounds,
    "seed": Seed,
}
"""The flags that are settings of a study."""


@dataclass(frozen=True)
class Flags:
    """What the flags of :data:`SETTINGS` and ``--set`` ask for."""

    given: Mapping[str, Setting]
    more: Sequence[str] = ()


def taking_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all flags of a study's settings, which it gets as one argument ``flags``."""
    own = inspect.signature(command)

    @functools.wraps(command)
    def taking(**arguments: Any) -> None:  # noqa: ANN401
        found = {name: arguments.pop(name) for name in SETTINGS}
        given = {
            name.replace("_", "-"): value.value if isinstance(value, Enum) else value
            for name, value in found.items()
            if value is not None
        }
        more = arguments.pop("more") or ()
        command(**arguments, flags=Flags(given, more))

    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=flag)
        for name, flag in [*SETTINGS.items(), ("more", More)]
    ]
    kept = [parameter for name, parameter in own.parameters.items() if name != "flags"]
    positional = [p for p in kept if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    rest = [p for p in kept if p.kind is inspect.Parameter.KEYWORD_ONLY]
    parameters = [*positional, *added, *rest]
    taking.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    taking.__annotations__ = {p.name: p.annotation for p in parameters}
    return taking
