"""The one place that knows which Flower this library was checked against."""

from importlib.metadata import version

from packaging.specifiers import SpecifierSet
from packaging.version import Version

SUPPORTED_FLOWER = SpecifierSet(">=1.41,<1.42")


def require_supported_flower(installed: str | None = None) -> None:
    """Refuse a Flower that the adapters were not checked against.

    They read the sizes of Flower's objects through modules that Flower does not promise to keep,
    so a version that was not tried would fail in the middle of a run instead of here.

    Parameters
    ----------
    installed : str, optional
        A version; that of the installed ``flwr`` by default.

    Raises
    ------
    ImportError
        If the version is outside the supported range.
    """
    found = installed or version("flwr")
    if Version(found) not in SUPPORTED_FLOWER:
        raise ImportError(
            f"fl-ef21 works with flwr {SUPPORTED_FLOWER}, found flwr {found}; "
            f'run: pip install "flwr{SUPPORTED_FLOWER}"'
        )
