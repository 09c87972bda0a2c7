"""Copy the demo's tables out of the installed `palmerpenguins` package (data: CC0).

    python examples/clean-data/prepare.py

`input/` gets the raw field table that the loop cleans; `held-out/` gets the published tidy table,
which only the verifier sees.
"""

from __future__ import annotations

import importlib.resources
import shutil
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    data = importlib.resources.files("palmerpenguins") / "data"
    for folder, name in (("input", "penguins-raw.csv"), ("held-out", "penguins.csv")):
        target = HERE / folder
        target.mkdir(exist_ok=True)
        with importlib.resources.as_file(data / name) as source:
            shutil.copyfile(source, target / name)


if __name__ == "__main__":
    main()
