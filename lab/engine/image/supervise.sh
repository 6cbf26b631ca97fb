# SPDX-License-Identifier: Apache-2.0
# Run a command in this shell's process group; on SIGTERM end all of it.  lab starts the shell as the leader of a new
# session and has it told (setpriv --pdeathsig) when lab has gone, however that ended.
#
# mmdebstrap's first process ignores signals, so the whole group must get them; and when mmdebstrap fails it hangs up
# its whole group, which must therefore not be lab's.
trap : HUP
trap "trap '' TERM; kill -TERM 0; wait" TERM
"$@" &
wait $!
status=$?
# 128 + SIGHUP: the wait was interrupted, the command may still run.
if [ "$status" -eq 129 ]; then
	wait $!
	status=$?
fi
exit "$status"
