"""`python -m inboxops.cli`, where the script `inboxops` is not on the path."""

from inboxops.cli import main

main()
