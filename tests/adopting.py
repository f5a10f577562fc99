"""The page docs/adopt.md, read as the person does who follows it."""

import re
import shutil
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "adopt.md"
APP = PAGE.parent / "adopt" / "digits-app"


def diffs():
    """Return the page's diffs: of each, what is to be replaced by what in which file."""
    return [_edits(block) for block in re.findall(r"```diff\n(.*?)```", PAGE.read_text(), re.S)]


def _edits(block):
    for part in re.split(r"^--- ", block, flags=re.M)[1:]:
        name, *lines = part.splitlines()
        old, new = (
            "".join(f"{line[1:]}\n" for line in lines if line.startswith(sign)) for sign in "-+"
        )
        yield name, old, new


def adopted(folder, steps):
    """Return a copy of the app after so many of the page's diffs."""
    app = Path(shutil.copytree(APP, folder))
    for edits in diffs()[:steps]:
        for name, old, new in edits:
            text = (app / name).read_text()
            assert text.count(old) == 1, f"{name} has no such line once: {old}"
            (app / name).write_text(text.replace(old, new))
    return app
