#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# This is mmdebstrap's customize hook.  It adds the kernel to the guest's root file system and then removes what no
# trial needs.  $1 is the root file system.  $2 is a folder with the packages that the kernel consists of.
#
# The kernel's package is not installed, because installing it would also install an initramfs generator and a boot
# loader, neither of which the guest uses.  It is not unpacked by dpkg either, because it may come from anywhere:
# lab.engine.image.package takes the kernel and its modules from it.
set -eu
root=$1
kernel=$2

mkdir -p "$root/var/tmp/debs"
cp "$kernel"/*.deb "$root/var/tmp/debs/"
cp -r "$(dirname "$0")/python" "$root/var/tmp/python"
chroot "$root" sh -c 'cd /var/tmp/debs && PYTHONPATH=/var/tmp/python python3 -m lab.engine.image.package *.deb'
release=$(cat "$root/usr/share/lab/kernel-release")
# Of all that was taken from the package, depmod is the first to read anything.  None of it can be executed here.
chroot "$root" depmod "$release"

# One line for each package: name, version, and the SHA-256 that the archive's lists have.
# shellcheck disable=SC2046 # These are many words.
chroot "$root" apt-cache show $(chroot "$root" dpkg-query -W -f '${Package}=${Version}\n') |
	awk -f "$(dirname "$0")/packages.awk" >"$root/usr/share/lab/packages"
cat "$root/usr/share/lab/kernel-packages" >>"$root/usr/share/lab/packages"
sort -o "$root/usr/share/lab/packages" "$root/usr/share/lab/packages"
rm "$root/usr/share/lab/kernel-packages"

modules="$root/usr/lib/modules/$release/kernel"
rm -rf "$modules"/sound "$modules"/drivers/gpu "$modules"/drivers/infiniband "$modules"/drivers/md \
	"$modules"/drivers/scsi "$modules"/drivers/target "$modules"/drivers/usb "$modules"/drivers/media \
	"$modules"/drivers/hv "$modules"/drivers/net/ethernet "$modules"/fs/btrfs "$modules"/fs/xfs "$modules"/fs/nfs \
	"$modules"/fs/smb "$modules"/fs/ceph "$modules"/fs/ocfs2 "$modules"/fs/gfs2
chroot "$root" depmod "$release"

rm -rf "$root"/var/tmp/* "$root"/var/cache/* "$root"/var/lib/apt "$root"/var/lib/dpkg "$root"/var/log/* \
	"$root"/usr/share/doc "$root"/usr/share/man "$root"/usr/share/locale "$root"/usr/share/info "$root"/usr/share/perl* \
	"$root"/usr/share/bash-completion "$root"/usr/share/zoneinfo "$root"/usr/share/i18n "$root"/usr/share/misc \
	"$root"/usr/lib/x86_64-linux-gnu/perl* "$root"/usr/lib/x86_64-linux-gnu/gconv "$root"/usr/lib/udev/hwdb.d \
	"$root"/usr/lib/systemd "$root"/usr/lib/x86_64-linux-gnu/systemd "$root"/usr/bin/perl* \
	"$root"/usr/lib/apt \
	"$root"/usr/lib/python3*/test "$root"/usr/lib/python3*/pydoc_data "$root"/usr/lib/python3*/idlelib

# The Python modules are compiled in a form that stays valid although the image sets the time stamps of all files to 0.
chroot "$root" python3 -m compileall -q -f --invalidation-mode unchecked-hash /usr/lib/python3.13 /usr/lib/python3/dist-packages || true
