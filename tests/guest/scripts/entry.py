# SPDX-License-Identifier: Apache-2.0
"""Entry point that replaces the agent in a guest: it calls the test script and hands its result to the host."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lab.agent.guest.service import load_modules
from lab.agent.process import run
from lab.job.folder import SharedFolder
from lab.job.mailbox import Mailbox, State

if TYPE_CHECKING:
    from tests.guest.scripts.links import main
else:  # the script is in the guest only
    from lab.agent.script import main

IS_UML = Path("/proc/uml-zygote").exists()


def exchange() -> tuple[Mailbox | SharedFolder, Callable[[], object]]:
    """Return what the guest shares with the host, and a function that ends the guest."""
    if IS_UML:
        from lab.agent.guest import uml

        uml._mount_shared_folder()
        return SharedFolder(uml._SHARED), uml._power_off
    from lab.agent.guest import vm

    mailbox = Mailbox(vm.map_mailbox())
    mailbox.check()
    return mailbox, vm.instruction_that_stops_the_machine()


def entry() -> None:
    shared, stop = exchange()
    try:
        os.getrandom(16)
        load_modules()
        run(["ip", "link", "set", "lo", "up"])
        shared.write(json.dumps(main(json.loads(shared.job))).encode())
        shared.state = State.DONE
    except BaseException:
        shared.clear_record()
        shared.write(traceback.format_exc().encode())
        shared.state = State.FAILED
    while True:
        stop()


entry()
