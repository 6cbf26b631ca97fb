# SPDX-License-Identifier: Apache-2.0
"""Entry point that replaces the agent in the guest: it calls the test script and puts its result into the mailbox."""

from __future__ import annotations

import json
import os
import traceback
from typing import TYPE_CHECKING

from lab.agent.guest.service import load_modules
from lab.agent.guest.vm import instruction_that_stops_the_machine, map_mailbox
from lab.agent.process import run
from lab.job.mailbox import Mailbox, State

if TYPE_CHECKING:
    from tests.guest.scripts.links import main
else:  # the script is in the guest only
    from lab.agent.script import main


def entry() -> None:
    mailbox = Mailbox(map_mailbox())
    mailbox.check()
    stop = instruction_that_stops_the_machine()
    try:
        os.getrandom(16)
        load_modules()
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
