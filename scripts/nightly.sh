#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run all tests, also those that take long; compare hundreds of repeated trials; check the known truths on each engine
# and kernel.  A step that fails does not stop the others.  At the end, a page links all reports and logs.
# The exit status is 1 if any step failed.
set -u
cd "$(dirname "$0")/.."

results=${1:-results/nightly/$(date -u +%Y%m%dT%H%M%SZ)}
mkdir -p "$results"
failed=

step() {
	name=$1
	shift
	echo "nightly: $name"
	if ! "$@" >"$results/$name.txt" 2>&1; then
		failed="$failed $name"
		echo "nightly: $name failed; see $results/$name.txt"
	fi
}

truths() {
	where=$1
	shift
	step "truths-$where" .venv/bin/pytest experiments/truth -p no:cacheprovider \
		--lab-output="$results/runs/$where" --junitxml="$results/truths-$where.xml" "$@"
}

truths uml --lab-engine uml
for kernel in debian-12 debian-13 debian-13-backports; do
	truths "$kernel" --lab-engine vm --lab-set kernel="$kernel"
done
step exact-trials .venv/bin/python -m benchmarks.exactness
step exact-runs-uml .venv/bin/python -m benchmarks.conditions --engine uml --times 100
step exact-runs-vm .venv/bin/python -m benchmarks.conditions --engine vm --times 100
step tests .venv/bin/pytest -n auto --dist loadscope --nightly --junitxml="$results/tests.xml"

set --
for log in "$results"/*.txt "$results"/*.xml; do
	[ ! -f "$log" ] || set -- "$@" --also "$log"
done
title="Nightly results: all steps passed"
[ -z "$failed" ] || title="Nightly results: these steps failed:$failed"
# `lab site` exits with 1 if a run did not go well; the step of that run has failed, too.
.venv/bin/lab site "$results"/runs/*/*/latest -o "$results/site" --title "$title" "$@" || true
if [ -n "$failed" ]; then
	echo "nightly: failed:$failed"
	exit 1
fi
