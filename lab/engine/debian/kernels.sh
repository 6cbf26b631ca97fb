#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# This is mmdebstrap's customize hook for an empty root file system, in which only APT's lists are of interest.  $1 is
# the root, and $2 the code name of a Debian release.
#
# Without $3, it lists all cloud kernels of the release in /out/kernels: package and version, and in /out/newest the
# package that is the release's newest kernel.  With $3, the name of a package, and $4, its version, it downloads the
# package, and those of its parts, to /out.
set -eu
root=$1
release=$2
package=${3-}
# APT runs outside of the root, which has no programs.
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"

case $release in
*-backports)
	# Backports have no updates and no security archive of their own.
	own=${release%-backports}
	sed -i -n "s/^\(deb .*\) $own main\$/\1 $release main/p" "$root/etc/apt/sources.list"
	apt-get update -qq
	;;
esac

mkdir -p "$root/out"
if [ -z "$package" ]; then
	# The names of packages that only depend on the newest kernel have no complete version.
	names=$(apt-cache pkgnames linux-image- | grep -E '^linux-image-[0-9]+\.[0-9]+\.[0-9]+.*-cloud-amd64$')
	# The archive has parts of some kernels only.  In the list of dependencies, a package that it does not have is in
	# angle brackets.
	# shellcheck disable=SC2086 # These are many words.
	names=$(apt-cache depends --important $names | awk '
		/^[^ |]/ { package = $1; complete[package] = 1 }
		/Depends: <linux-(base|binary|modules)-[0-9]/ { complete[package] = 0 }
		END { for (package in complete) if (complete[package]) print package }')
	# shellcheck disable=SC2086
	apt-cache madison $names | awk -F '|' '{ gsub(/ /, ""); print $1, $2 }' | sort -u >"$root/out/kernels"
	apt-cache depends --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances \
		linux-image-cloud-amd64 |
		sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1 >"$root/out/newest"
	exit
fi

# In newer kernels, the kernel, its modules and its configuration have packages of their own, of the same version.
parts=$(apt-cache depends --important "$package=$4" |
	sed -n 's/^ *Depends: \(linux-\(base\|binary\|modules\)-[0-9][^ ]*\)$/\1/p' | sort -u)
cd "$root/out"
set -- "$package=$4"
for part in $parts; do
	set -- "$@" "$part=${1#*=}"
done
apt-get download -qq "$@"
