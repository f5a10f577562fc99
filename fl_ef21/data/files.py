"""Published files that are no LIBSVM tables: found in the data directory, or downloaded once."""
# pooch brings an HTTP client, which only a download needs.
# ruff: noqa: PLC0415

import bz2
import gzip
import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from fl_ef21.data.published import DIRECTORY_VARIABLE


@dataclass(frozen=True)
class PublishedFile:
    """A file, by what it holds once it is unpacked.

    Parameters
    ----------
    folder, name : str
        Where it is in the data directory: ``folder/name``, or packed as ``.gz`` or ``.bz2``.
    address : str
        Where it is published, packed or not; empty if it is not published in this form.
    digest : str
        SHA-256 of the unpacked content: files are packed in many ways, and hold the same.
    """

    folder: str
    name: str
    address: str
    digest: str

    def read(self, directory: str | Path | None = None) -> bytes:
        """Return the content, checked.

        Parameters
        ----------
        directory : str or Path, optional
            The data directory; by default what the environment variable ``FL_EF21_DATA`` names.

        Raises
        ------
        ValueError
            If the content is another than the published one.
        OSError
            If there is no such file and it cannot be downloaded; the text says where to get it.
        """
        path = self._find(directory or os.environ.get(DIRECTORY_VARIABLE)) or self._fetch()
        content = _unpacked(path)
        found = sha256(content).hexdigest()
        if found != self.digest:
            raise ValueError(
                f"{path} does not hold what was published as {self.name}: its SHA-256 is {found} "
                f"instead of {self.digest}; replace it"
                f"{' with ' + self.address if self.address else ''}"
            )
        return content

    def _find(self, directory: str | Path | None) -> Path | None:
        if not directory:
            return None
        if not Path(directory).is_dir():
            raise ValueError(
                f"data directory {str(directory)!r} is not a folder; "
                f"correct {DIRECTORY_VARIABLE}, or unset it to download"
            )
        folders = Path(directory, self.folder), Path(directory)
        names = (f"{self.name}{suffix}" for suffix in ("", ".gz", ".bz2"))
        paths = [folder / name for name in names for folder in folders]
        return next((path for path in paths if path.is_file()), None)

    def _fetch(self) -> Path:
        if not self.address:
            raise OSError(
                f"{self.name} cannot be downloaded in this form. Put the file into a folder "
                f"{self.folder!r} and name the folder around it in {DIRECTORY_VARIABLE}"
            )
        import pooch

        name = self.address.rpartition("/")[2]
        try:
            path = pooch.retrieve(
                self.address, None, fname=name, path=pooch.os_cache("fl-ef21") / self.folder
            )
        except (OSError, ValueError) as error:
            raise OSError(
                f"cannot download {self.name} from {self.address}: {error}. Put the file into a "
                f"folder {self.folder!r} and name the folder around it in {DIRECTORY_VARIABLE}"
            ) from error
        return Path(path)


def _unpacked(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(content)
    return bz2.decompress(content) if path.suffix == ".bz2" else content
