"""Run the study in this machine's processes, a seed in each: see ``--help``."""

from pathlib import Path

from fl_ef21.comparison.parallel import main

if __name__ == "__main__":
    main(Path(__file__).parent)
