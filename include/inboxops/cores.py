"""A process that crashes leaves nothing of its memory behind: passwords and mail are in it."""

from __future__ import annotations

import resource
import sys

CORE_BYTES = 1 if sys.platform == "linux" else 0
"""On Linux 0 keeps a core from being written to a file, and not from being piped to a program (core(5)); 1 does both: it is
less than any core, and by it the kernel knows whom not to pipe (do_coredump in fs/coredump.c)."""


def leave_no_core() -> None:
    """From now on, in this process and whatever it starts: limits outlive fork and exec.

    PR_SET_DUMPABLE is left alone. It does not outlive exec, so servers would be without it, and with it `/proc/self` is root's: who
    looks after a killed supervisor's processes finds them there, and so does whoever has to see where a process hangs.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    most = CORE_BYTES if hard == resource.RLIM_INFINITY else min(CORE_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))
