/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))
/* bcc chooses between BPF helpers by this version.  Every kernel with BTF has the newest helpers that bcc knows. */
#define LINUX_VERSION_CODE KERNEL_VERSION(5, 10, 0)
