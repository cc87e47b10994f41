"""`python -m toolkit.cli`: the command where it is not installed."""

from toolkit.cli.entry import main

main()
