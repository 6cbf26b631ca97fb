#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Make the sdist and the wheel of a release in dist/ and check them.  Nothing is uploaded.
# The checkout (the argument, or else that of this script) must be clean, and the changelog must have a section with a date for the version in pyproject.toml.
set -eu
cd "${1:-$(dirname "$0")/..}"
python=${PYTHON:-python3}

fail() {
	echo "release: $1" >&2
	exit 2
}

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
echo "$version" | grep -qxE '[0-9]+\.[0-9]+\.[0-9]+((a|b|rc)[0-9]+)?' ||
	fail "pyproject.toml: found the version '$version'; expected a version such as 1.2.3 or 1.2.3rc1"
grep -qx "version: $version" CITATION.cff || fail "CITATION.cff: expected the line 'version: $version'"
pattern=$(echo "$version" | sed 's/\./\\./g')
grep -qxE "## \[$pattern\] - [0-9]{4}-[0-9]{2}-[0-9]{2}" CHANGELOG.md ||
	fail "CHANGELOG.md: expected a heading '## [$version] - YYYY-MM-DD' above the changes of this version"
[ -z "$(git status --porcelain)" ] || fail "the checkout has changes that are not committed; see 'git status'"
! git rev-parse -q --verify "refs/tags/v$version" >/dev/null ||
	[ "$(git rev-parse "v$version^{commit}")" = "$(git rev-parse HEAD)" ] ||
	fail "the tag v$version is at another commit; raise the version in pyproject.toml"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r requirements-release.lock

# The wheel is made from the sdist, so that the sdist is known to be complete.
"$work/venv/bin/python" -m hatchling build --target sdist --directory "$work/dist"
tar -xzf "$work/dist/tcp_lab-$version.tar.gz" -C "$work"
(cd "$work/tcp_lab-$version" && "$work/venv/bin/python" -m hatchling build --target wheel --directory "$work/dist")
"$work/venv/bin/twine" check --strict "$work"/dist/*
rm -rf dist
mv "$work/dist" dist
echo "release: lab $version is in dist/; upload it with 'twine upload dist/*', and tag the commit as v$version"
