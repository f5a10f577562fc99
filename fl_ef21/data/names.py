"""Several data sets in one setting."""

from pathlib import Path


def data_names(text: str) -> list[str]:
    """Return the data sets of a setting: names and paths between commas.

    Examples
    --------
    >>> data_names("phishing,a9a"), data_names("digits"), data_names("")
    (['phishing', 'a9a'], ['digits'], [])
    """
    if Path(text).is_file():  # a comma may be part of a path
        return [text]
    return [name.strip() for name in text.split(",")] if text else []
