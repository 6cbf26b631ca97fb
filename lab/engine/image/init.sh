#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# First process of the guest: mount the image, lay the agent beside it, hand over.
bb=/bin/busybox
fail() {
	echo "lab-init: $1"
	# QEMU runs with -no-reboot, and exits; powering off needs ACPI to work.
	$bb reboot -f
}
$bb mount -t devtmpfs dev /dev || fail "devtmpfs"
$bb mount -t proc proc /proc || fail "proc"
$bb mount -t sysfs sys /sys || fail "sysfs"
while read -r module; do
	$bb insmod "/modules/$module" || fail "insmod $module"
done </modules/order
# The mailbox is persistent memory too; the image is the one with a file system.
for device in /dev/pmem*; do
	$bb mount -t erofs -o ro "$device" /root 2>/dev/null && break
done
[ -x /root/usr/bin/python3 ] || fail "no image in persistent memory: $(echo /dev/pmem*)"
for point in dev proc sys; do
	$bb mount --move /$point /root/$point || fail "moving /$point"
done
$bb mount -t tmpfs -o mode=755,size=75% run /root/run || fail "/run"
$bb mount -t tmpfs tmp /root/tmp || fail "/tmp"
$bb mkdir /root/dev/pts /root/dev/shm
$bb mount -t devpts -o ptmxmode=666 devpts /root/dev/pts || fail "devpts"
$bb mount -t tracefs tracefs /root/sys/kernel/tracing || fail "tracefs"
$bb mount -t bpf bpf /root/sys/fs/bpf || fail "bpf"
$bb cp -a /lab /root/run/lab || fail "the agent"
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run LANG=C.UTF-8 PYTHONPATH=/run/lab PYTHONHASHSEED=0
exec $bb switch_root /root /usr/bin/python3 -m lab.agent.guest
