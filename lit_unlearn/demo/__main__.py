"""`python -m lit_unlearn.demo FOLDER` writes the tiny world."""

import sys
from pathlib import Path

from lit_unlearn.demo import write_demo

if len(sys.argv) != 2:
    sys.exit("usage: python -m lit_unlearn.demo FOLDER")
write_demo(Path(sys.argv[1]))
print(f"The demo's model and texts are in {sys.argv[1]}; next: lit-unlearn fit -c demo.yaml")
