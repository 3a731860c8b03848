"""`python -m lit_unlearn`."""

from lit_unlearn.cli import main

main()
