#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# This is mmdebstrap's customize hook.  It adds the kernel to the guest's root file system and then removes what no
# trial needs.  $1 is the root file system.  $2 is the kernel: the code name of a Debian release, or the path of a
# package.
#
# The kernel's package is unpacked rather than installed, because installing it would also install an initramfs
# generator and a boot loader, neither of which the guest uses.
set -eu
root=$1
kernel=$2

# Prints the name of the package with the newest cloud kernel of the release $1.  To find it, the APT sources of the
# root file system are changed to that release.
newest_of() {
	own=$(. "$root/etc/os-release" && echo "$VERSION_CODENAME")
	case $1 in
	*-backports)
		# Backports have no updates and no security archive of their own.
		sed -i -n "s/^\(deb .*\) $own main\$/\1 $1 main/p" "$root/etc/apt/sources.list"
		;;
	*)
		for file in "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*; do
			[ ! -f "$file" ] || sed -i "s/\b$own\b/$1/g" "$file"
		done
		;;
	esac
	chroot "$root" apt-get update -qq
	chroot "$root" apt-cache depends --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
		--no-enhances linux-image-cloud-amd64 |
		sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1
}

mkdir -p "$root/var/tmp/debs"
case $kernel in
*.deb)
	cp "$kernel" "$root/var/tmp/debs/"
	;;
*)
	package=$(newest_of "$kernel")
	# In newer kernels, the kernel, its modules and its configuration have packages of their own.
	parts=$(chroot "$root" apt-cache depends --important "$package" |
		sed -n 's/^ *Depends: \(linux-\(base\|binary\|modules\)-[0-9][^ ]*\)$/\1/p' | sort -u)
	chroot "$root" sh -c "cd /var/tmp/debs && apt-get download -qq $package $(echo $parts)"
	;;
esac
for deb in "$root"/var/tmp/debs/*.deb; do
	deb=$(basename "$deb")
	chroot "$root" dpkg-deb -x "/var/tmp/debs/$deb" /var/tmp/unpacked
	chroot "$root" dpkg-deb -f "/var/tmp/debs/$deb" Package Version >>"$root/var/tmp/kernel-packages"
done
unpacked="$root/var/tmp/unpacked"
# Older packages, and those built with the kernel's own bindeb-pkg target, put into /lib what is now in /usr/lib.
if [ -d "$unpacked/lib" ]; then
	mkdir -p "$unpacked/usr"
	cp -a "$unpacked/lib" "$unpacked/usr/"
	rm -rf "$unpacked/lib"
fi
release=$(ls "$unpacked/usr/lib/modules" 2>/dev/null || true)
# Newer packages have everything in one folder.
for name in vmlinuz config; do
	if [ -f "$unpacked/usr/lib/modules/$release/$name" ]; then
		mkdir -p "$unpacked/boot"
		mv "$unpacked/usr/lib/modules/$release/$name" "$unpacked/boot/$name-$release"
	fi
done
rm -f "$unpacked/usr/lib/modules/$release/System.map"
if [ "$(echo "$release" | wc -w)" != 1 ] || [ ! -f "$unpacked/boot/vmlinuz-$release" ]; then
	echo "E: $(ls "$root/var/tmp/debs" | tr '\n' ' ')do not contain one kernel (boot/vmlinuz-RELEASE) with its modules (lib/modules/RELEASE)"
	exit 1
fi
(cd "$unpacked" && cp -a . "$root/")
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

# The Python modules are compiled in a form that stays valid although the image sets the time stamps of all files to 0.
chroot "$root" python3 -m compileall -q -f --invalidation-mode unchecked-hash /usr/lib/python3.13 /usr/lib/python3/dist-packages || true
