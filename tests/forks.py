"""Work in a forked process, which a fault may end."""

import faulthandler
import os
import time

import pytest

SECONDS = 60

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


def exit_code(work):
    """Of a child process by ``os.fork`` that runs ``work``: 0 where it gives true; it must not hang."""
    child = os.fork()
    if not child:
        faulthandler.disable()
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    for _ in range(SECONDS * 50):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return pytest.fail("the child hangs")
