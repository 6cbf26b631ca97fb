#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# This is mmdebstrap's customize hook.  It installs the headers of a kernel, which bring the compiler that has compiled
# the kernel, and make.  $1 is the root file system, $2 the code name of the Debian release of the kernel, $3 the
# kernel's release (uname -r), $4 the version of its package.
set -eu
root=$1
release=$2
kernel=$3
version=$4

from=
case $release in
*-backports)
	# The headers' parts are in the same place, which apt does not look at without being told.
	from="-t $release"
	own=${release%-backports}
	sed -n "s/^\(deb .*\) $own main\$/\1 $release main/p" "$root/etc/apt/sources.list" \
		>"$root/etc/apt/sources.list.d/backports.list"
	chroot "$root" apt-get update -qq
	;;
esac
name="linux-headers-$kernel"
if ! chroot "$root" apt-cache madison "$name" | grep -qF " $version "; then
	echo "E: Debian's archive does not offer $name $version"
	exit 1
fi
# The compiler of some headers does not bring the assembler.
# shellcheck disable=SC2086 # These are two words, or none.
chroot "$root" apt-get install -y -qq --no-install-recommends $from "$name=$version" make binutils
# One line for each package: name, version, and the SHA-256 that the archive's lists have.
# shellcheck disable=SC2046 # These are many words.
chroot "$root" apt-cache show $(chroot "$root" dpkg-query -W -f '${Package}=${Version}\n') |
	awk -f "$(dirname "$0")/packages.awk" | sort >"$root/lab-packages"
rm -rf "$root"/var/cache/* "$root"/var/lib/apt "$root"/var/lib/dpkg "$root"/usr/share/doc "$root"/usr/share/info \
	"$root"/usr/share/perl* "$root"/usr/lib/x86_64-linux-gnu/perl* "$root"/usr/bin/perl* \
	"$root"/usr/lib/gcc/x86_64-linux-gnu/*/lto* "$root"/usr/libexec/gcc/x86_64-linux-gnu/*/lto*
