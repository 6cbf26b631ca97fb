#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# This is the first process of the guest.  It mounts the image, copies the agent to /run/lab and starts the agent.
bb=/bin/busybox
fail() {
	echo "lab-init: $1"
	# QEMU runs with -no-reboot and therefore exits on a reboot.  Powering off would depend on ACPI.
	$bb reboot -f
}
$bb mount -t devtmpfs dev /dev || fail "cannot mount devtmpfs at /dev"
$bb mount -t proc proc /proc || fail "cannot mount proc at /proc"
$bb mount -t sysfs sys /sys || fail "cannot mount sysfs at /sys"
while read -r module; do
	$bb insmod "/modules/$module" || fail "cannot load the kernel module $module"
done </modules/order
# The mailbox is a persistent memory device, too.  The image is the device that has a file system.
for device in /dev/pmem*; do
	$bb mount -t erofs -o ro "$device" /root 2>/dev/null && break
done
[ -x /root/usr/bin/python3 ] || fail "no persistent memory device holds the image; devices: $(echo /dev/pmem*)"
for point in dev proc sys; do
	$bb mount --move /$point /root/$point || fail "cannot move the mount point /$point to /root/$point"
done
$bb mount -t tmpfs -o mode=755,size=75% run /root/run || fail "cannot mount tmpfs at /run"
$bb mount -t tmpfs tmp /root/tmp || fail "cannot mount tmpfs at /tmp"
$bb mkdir /root/dev/pts /root/dev/shm
$bb mount -t devpts -o ptmxmode=666 devpts /root/dev/pts || fail "cannot mount devpts at /dev/pts"
$bb mount -t tracefs tracefs /root/sys/kernel/tracing || fail "cannot mount tracefs at /sys/kernel/tracing"
$bb mount -t bpf bpf /root/sys/fs/bpf || fail "cannot mount the BPF file system at /sys/fs/bpf"
$bb cp -a /lab /root/run/lab || fail "cannot copy the agent to /run/lab"
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run LANG=C.UTF-8 PYTHONPATH=/run/lab PYTHONHASHSEED=0
exec $bb switch_root /root /usr/bin/python3 -m lab.agent.guest
