#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Set up, then run the shipped experiment.
# $1: a file of bundles, so that nothing has to be built; $2: the engine.  Both may be empty.
set -eu
cd "$(dirname "$0")/.."

file=${1-}
engine=${2-}
scripts/setup.sh ${file:+bundle}
set --
if [ -n "$file" ]; then
	imported=$(.venv/bin/lab bundle import "$file")
	for digest in $(printf '%s\n' "$imported" | cut -d ' ' -f 1); do
		set -- "$@" --bundle "$digest"
	done
	# User-mode Linux is the fast engine.
	case $engine:$imported in :*' uml-'*) engine=uml ;; esac
fi
exec .venv/bin/lab run "$@" ${engine:+--engine "$engine"} experiments/cubic_vs_bbr.yaml
