# SPDX-License-Identifier: Apache-2.0
# Run a command in this shell's process group and, on SIGTERM, terminate the whole group.  lab starts this shell as the
# leader of a new session, under setpriv --pdeathsig, so that the shell gets a SIGTERM even if lab is killed.
#
# The signal must go to the whole group because mmdebstrap's first process ignores signals.  The group must not be lab's
# because mmdebstrap, when it fails, sends a SIGHUP to its whole group.
trap : HUP
trap "trap '' TERM; kill -TERM 0; wait" TERM
"$@" &
wait $!
status=$?
# Status 129 is 128 + SIGHUP: the signal interrupted the wait, and the command may still be running.
if [ "$status" -eq 129 ]; then
	wait $!
	status=$?
fi
exit "$status"
