#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# This is mmdebstrap's extract hook.  It puts the files of an emulator into the folder /emulator of the root file
# system: the programs, all libraries that they load, the firmware, and the library lockstep.so, which is compiled by
# the root file system's own compiler.  $1 is the root file system.  The other arguments are the flags of the compiler.
set -eu
root=$1
shift
here=$(dirname "$0")
out=$root/emulator
loader=ld-linux-x86-64.so.2
mkdir "$out"

echo "I: collecting QEMU and its libraries..."
for program in qemu-system-x86_64 mkfs.erofs; do
	chroot "$root" cp -L "/usr/bin/$program" /emulator/
	# Lines look like: libz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f0123456789)
	chroot "$root" "/usr/lib64/$loader" --list "/usr/bin/$program" |
		sed -n 's/^[^=]* => \([^ ]*\) (.*/\1/p' >>"$root/tmp/libraries"
done
sort -u "$root/tmp/libraries" | while read -r library; do
	case $library in
	*/"$loader") ;;
	*) chroot "$root" cp -L "$library" /emulator/ ;;
	esac
done
chroot "$root" cp -L "/usr/lib64/$loader" /emulator/
for firmware in qemu/kvmvapic.bin qemu/linuxboot_dma.bin seabios/bios-256k.bin; do
	chroot "$root" cp -L "/usr/share/$firmware" /emulator/
done

cp "$here/lockstep.c" "$root/tmp/lockstep.c"
chroot "$root" gcc "$@" -o /emulator/lockstep.so /tmp/lockstep.c

# One line for each package: name, version, SHA-256.
for package in "$root"/var/cache/apt/archives/*.deb; do
	name=$(chroot "$root" dpkg-deb --show --showformat='${Package} ${Version}' "${package#"$root"}")
	echo "$name $(sha256sum "$package" | cut -d' ' -f1)"
done | LC_ALL=C sort >"$out/packages"
chmod 644 "$out"/*
chmod 755 "$out/$loader" "$out/qemu-system-x86_64" "$out/mkfs.erofs"
