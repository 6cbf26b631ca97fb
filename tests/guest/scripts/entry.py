# SPDX-License-Identifier: Apache-2.0
"""Entry point that replaces the agent in the guest: it calls the test script and puts its result into the mailbox."""

from __future__ import annotations

import json
import os
import traceback
from typing import TYPE_CHECKING

from lab.agent.process import run
from lab.job.mailbox import Mailbox, State

if TYPE_CHECKING:
    from lab.agent.guest import _MODULES, _instruction_that_stops_the_machine, _map_mailbox
    from tests.guest.scripts.links import main
else:  # the agent has another name in the guest, and the script is there only
    from lab.agent.real_guest import _MODULES, _instruction_that_stops_the_machine, _map_mailbox
    from lab.agent.script import main


def entry() -> None:
    mailbox = Mailbox(_map_mailbox())
    mailbox.check()
    stop = _instruction_that_stops_the_machine()
    try:
        os.getrandom(16)
        run(["modprobe", "-a", *_MODULES])
        run(["ip", "link", "set", "lo", "up"])
        mailbox.write(json.dumps(main(json.loads(mailbox.job))).encode())
        mailbox.state = State.DONE
    except BaseException:
        mailbox.clear_record()
        mailbox.write(traceback.format_exc().encode())
        mailbox.state = State.FAILED
    while True:
        stop()


entry()
