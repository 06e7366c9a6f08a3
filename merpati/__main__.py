"""`python -m merpati`: the same as the installed script."""

from merpati.cli import main

main()
