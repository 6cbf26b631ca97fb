/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))
/* bcc chooses between helpers by it: any kernel that has BTF has the newest it knows of. */
#define LINUX_VERSION_CODE KERNEL_VERSION(5, 10, 0)
