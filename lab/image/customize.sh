#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mmdebstrap customize hook: $1 is the guest's root.  Adds the kernel, then drops what no trial needs.
#
# The kernel's package is unpacked rather than installed: installing it would pull in an initramfs generator and a boot
# loader, neither of which the guest uses.
set -eu
root=$1

depends() {
	chroot "$root" apt-cache depends --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "$1" |
		sed -n 's/^ *Depends: \(linux-[a-z]*-[0-9][^ ]*\)$/\1/p'
}

kernel=$(depends linux-image-cloud-amd64 | head -n 1)
mkdir -p "$root/var/tmp/debs"
chroot "$root" sh -c "cd /var/tmp/debs && apt-get download -qq $kernel"
deb=$(basename "$root"/var/tmp/debs/*.deb)
chroot "$root" dpkg-deb -x "/var/tmp/debs/$deb" /var/tmp/unpacked
chroot "$root" dpkg-deb -f "/var/tmp/debs/$deb" Package Version >"$root/var/tmp/kernel-packages"
(cd "$root/var/tmp/unpacked" && cp -a . "$root/")
release=${kernel#linux-image-}
chroot "$root" depmod "$release"

mkdir -p "$root/usr/share/lab"
chroot "$root" dpkg-query -W -f '${Package} ${Version}\n' >"$root/usr/share/lab/packages"
sed -n 'N;s/Package: \(.*\)\nVersion: \(.*\)/\1 \2/p' "$root/var/tmp/kernel-packages" >>"$root/usr/share/lab/packages"
sort -o "$root/usr/share/lab/packages" "$root/usr/share/lab/packages"
printf '%s\n' "$release" >"$root/usr/share/lab/kernel-release"

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
	"$root"/usr/lib/apt "$root"/boot/initrd* "$root"/boot/System.map* \
	"$root"/usr/lib/python3*/test "$root"/usr/lib/python3*/pydoc_data "$root"/usr/lib/python3*/idlelib

# Compiled modules that are valid whatever their source's time stamp says: the image sets them all to 0.
chroot "$root" python3 -m compileall -q -f --invalidation-mode unchecked-hash /usr/lib/python3.13 /usr/lib/python3/dist-packages || true
