#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install what lab needs on Debian or Ubuntu: packages (as root, or with sudo), then a .venv from the lock file.
# With the argument "tests", it also installs what only the tests need; with the argument "bundle", it installs Python
# alone, which is enough to run trials with a bundle from another machine.
# The script skips steps that have been done already, so that running it again is cheap.
set -eu
cd "$(dirname "$0")/.."

PACKAGES=
[ "${1:-}" = bundle ] || PACKAGES=$(sed -n 's/^\([^# ][^ ]*\) .*/\1/p' lab/cli/machine/debian-packages.txt)
TEST_PACKAGES=
[ "${1:-}" != tests ] || TEST_PACKAGES=$(sed -n 's/^\([^# ][^ ]*\) .*/\1/p' tests/debian-packages.txt)
python=${PYTHON:-python3}

command -v "$python" >/dev/null || PACKAGES="$PACKAGES python3"
"$python" -c 'import ensurepip, venv' 2>/dev/null || PACKAGES="$PACKAGES python3-venv"
if ! command -v apt-get >/dev/null && [ -n "$PACKAGES" ]; then
	echo "setup: this is neither Debian nor Ubuntu; install Python and mmdebstrap yourself, or use a bundle (docs/how-to/bundles.md)" >&2
	exit 2
fi

missing_of() {
	for package in "$@"; do
		status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
		[ "$status" = installed ] || printf ' %s' "$package"
	done
}

# shellcheck disable=SC2086 # both are lists of words
missing=$(missing_of $PACKAGES) missing_for_tests=$(missing_of $TEST_PACKAGES)
if [ -n "$missing$missing_for_tests" ]; then
	as_root=
	if [ "$(id -u)" -ne 0 ]; then
		as_root=sudo
		command -v sudo >/dev/null || {
			echo "setup: sudo is not available to install these missing packages (run as root instead):$missing$missing_for_tests" >&2
			exit 2
		}
	fi
	$as_root apt-get update -q
	for package in $missing_for_tests; do
		# Ubuntu has chromium as a snap only.
		if LC_ALL=C apt-cache policy "$package" | grep -q 'Candidate: [0-9]'; then
			missing="$missing $package"
		else
			echo "setup: this release has no package $package; the tests that need it are skipped" >&2
		fi
	done
fi
if [ -n "$missing" ]; then
	echo "setup: installing$missing"
	# shellcheck disable=SC2086 # $missing is a list of words
	DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -q --no-install-recommends $missing
fi

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
	echo "setup: $("$python" --version) is too old; lab needs Python 3.11 or later (set PYTHON to its path)" >&2
	exit 2
}

# The stamp file records the inputs from which the environment was made; if they change, it is made again.
stamp=.venv/lab-setup
made_from="$(sha256sum requirements.lock requirements-setup.lock pyproject.toml) $("$python" --version) $(pwd)"
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$made_from" ]; then
	echo "setup: making .venv"
	rm -rf .venv
	"$python" -m venv .venv
	pip=".venv/bin/python -m pip install -q --disable-pip-version-check"
	# uv needs a third of the time, but it does not read pip's settings, such as those for an index of one's own.
	$pip --require-hashes -r requirements-setup.lock
	.venv/bin/uv pip install -q --python .venv/bin/python --require-hashes -r requirements.lock || {
		echo "setup: uv cannot install the packages; trying it with pip" >&2
		$pip --require-hashes -r requirements.lock
	}
	$pip --no-build-isolation --no-deps -e .
	printf '%s' "$made_from" >"$stamp"
fi
