#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# This is the first process of an instance of User-mode Linux.  It mounts the image, copies the agent to /run/lab and
# starts the agent.
bb=/bin/busybox
fail() {
	echo "lab-init: $1"
	$bb poweroff -f
}
$bb mount -t devtmpfs dev /dev || fail "cannot mount devtmpfs at /dev"
$bb mount -t proc proc /proc || fail "cannot mount proc at /proc"
$bb mount -t sysfs sys /sys || fail "cannot mount sysfs at /sys"
$bb mount -t erofs -o ro /dev/ubda /root || fail "cannot mount the image"
for point in dev proc sys; do
	$bb mount --move /$point /root/$point || fail "cannot move the mount point /$point to /root/$point"
done
$bb mount -t tmpfs -o mode=755,size=75% run /root/run || fail "cannot mount tmpfs at /run"
$bb mount -t tmpfs tmp /root/tmp || fail "cannot mount tmpfs at /tmp"
$bb mkdir -p /root/dev/pts /root/dev/shm
$bb mount -t devpts -o ptmxmode=666 devpts /root/dev/pts || fail "cannot mount devpts at /dev/pts"
$bb mount -t tracefs tracefs /root/sys/kernel/tracing || fail "cannot mount tracefs at /sys/kernel/tracing"
$bb mount -t bpf bpf /root/sys/fs/bpf || fail "cannot mount the BPF file system at /sys/fs/bpf"
$bb cp -a /lab /root/run/lab || fail "cannot copy the agent to /run/lab"
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run LANG=C.UTF-8 PYTHONPATH=/run/lab PYTHONHASHSEED=0
# glibc chooses routines by the features of the host's processor.  With these switched off, all machines with x86-64
# processors run the same ones.
export GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-AVX512VL,-AVX512BW,-BMI1,-BMI2,-LZCNT,-MOVBE,-ERMS,-FSRM,-RTM,-XSAVE,-XSAVEC
exec $bb switch_root /root /usr/bin/python3 -m lab.agent.guest.uml
