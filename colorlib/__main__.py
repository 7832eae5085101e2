"""`python -m colorlib` is the command line."""

from colorlib.cli import main

main()
