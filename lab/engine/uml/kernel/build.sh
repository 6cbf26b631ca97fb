#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# This is mmdebstrap's customize hook.  It compiles Debian's kernel source as a program (User-mode Linux), inside a root
# file system that has nothing but the compiler and its tools.
#
# $1 is the root file system, $2 the version in the name of the source package (7.3 for linux-source-7.3), and $3 the
# folder with the configuration and the patches.  The results are in /var/tmp/lab of the root file system: linux,
# config, release, and packages, which lists the packages on which the results depend.
set -eu
root=$1
version=$2
given=$3

in_root() {
	chroot "$root" "$@"
}

# The lines of the kernel's build that are worth showing when it fails.
fail() {
	echo "E: $1"
	grep -E 'error|Error|warning: override' "$root/var/tmp/make.log" | tail -n 20 || true
	exit 1
}

# A new version of the kernel is first in the backports of the release.
own=$(. "$root/etc/os-release" && echo "$VERSION_CODENAME")
sed -n "s/^\(deb .*\) $own main\$/\1 $own-backports main/p" "$root/etc/apt/sources.list" \
	>"$root/etc/apt/sources.list.d/backports.list"
mkdir -p "$root/var/tmp/debs" "$root/var/tmp/lab"
echo "I: downloading linux-source-$version..."
in_root apt-get update -qq
in_root sh -c "cd /var/tmp/debs && apt-get download -qq linux-source-$version"
deb=$(basename "$root"/var/tmp/debs/*.deb)

echo "I: unpacking linux-source-$version..."
in_root dpkg-deb -x "/var/tmp/debs/$deb" /var/tmp/unpacked
mkdir "$root/var/tmp/linux"
# Code that is never compiled here takes half of the space.
in_root tar -xf "/var/tmp/unpacked/usr/src/linux-source-$version.tar.xz" -C /var/tmp/linux --strip-components=1 \
	--exclude='*/drivers/gpu/*.[ch]' --exclude='*/drivers/media/*.[ch]' --exclude='*/sound/*.[ch]' \
	--exclude='*/drivers/net/ethernet/*.[ch]' --exclude='*/drivers/net/wireless/*.[ch]' \
	--exclude='*/tools/testing/*' --exclude='*/boot/dts/*'
rm -rf "$root/var/tmp/unpacked"
# One line for each package: name, version, and the SHA-256 that the archive's lists have.
# shellcheck disable=SC2046 # These are many words.
in_root apt-cache show $(
	in_root dpkg-query -W -f '${Package}=${Version}\n'
	in_root dpkg-deb -W --showformat '${Package}=${Version}\n' "/var/tmp/debs/$deb"
) | awk -f "$given/packages.awk" | sort >"$root/var/tmp/lab/packages"

cp -r "$given" "$root/var/tmp/given"
for patch in "$root"/var/tmp/given/patches/*.patch; do
	in_root patch -d /var/tmp/linux -p1 -s -i "/var/tmp/given/patches/$(basename "$patch")" ||
		fail "the patch $(basename "$patch") does not fit linux-source-$version"
done

# Whatever would put the time, the user or the machine of the build into the kernel is set to a constant.
make="env KBUILD_BUILD_TIMESTAMP=@$SOURCE_DATE_EPOCH KBUILD_BUILD_USER=lab KBUILD_BUILD_HOST=lab KBUILD_BUILD_VERSION=1"
make="$make make -C /var/tmp/linux ARCH=um"
echo "I: configuring the kernel..."
{
	in_root $make tinyconfig &&
		in_root sh -c 'cd /var/tmp/linux && scripts/kconfig/merge_config.sh -m -O . .config /var/tmp/given/config' &&
		in_root $make olddefconfig
} >"$root/var/tmp/make.log" 2>&1 || fail "the kernel cannot be configured"
# An option whose dependencies are not met would disappear without a word.
wrong=$(grep -E '^CONFIG_' "$root/var/tmp/given/config" | while read -r line; do
	name=${line%%=*}
	case $line in
	*=n) ! grep -q "^$name=" "$root/var/tmp/linux/.config" || echo "$name" ;;
	*) grep -qxF "$line" "$root/var/tmp/linux/.config" || echo "$name" ;;
	esac
done)
[ -z "$wrong" ] || fail "these options do not have the value that lab's configuration gives them: $(echo $wrong)"

echo "I: compiling the kernel..."
: >"$root/var/tmp/failed"
{
	in_root $make "-j$(nproc)" linux 2>&1 || echo failed >"$root/var/tmp/failed"
} | tee "$root/var/tmp/make.log" | awk '/^  CC /{
	if (++count % 50 == 0) { print "I: compiling the kernel: " count " files are done..."; fflush() }
}'
[ ! -s "$root/var/tmp/failed" ] || fail "the kernel cannot be compiled"

in_root strip -o /var/tmp/lab/linux /var/tmp/linux/linux
cp "$root/var/tmp/linux/.config" "$root/var/tmp/lab/config"
cp "$root/var/tmp/linux/include/config/kernel.release" "$root/var/tmp/lab/release"
rm -rf "$root/var/tmp/linux" "$root/var/tmp/debs"
