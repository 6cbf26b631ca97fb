// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* What lab_cc.h calculates, as a shared library for this machine's processor; see test_header.py. */
#include "lab_cc.h"

u32 cube_root(u64 value) { return lab_cube_root(value); }
s64 divide(s64 dividend, s64 divisor) { return lab_div_s64(dividend, divisor); }
u32 running_max(struct minmax *m, u32 win, u32 t, u32 value) { return minmax_running_max(m, win, t, value); }
u32 running_min(struct minmax *m, u32 win, u32 t, u32 value) { return minmax_running_min(m, win, t, value); }
u32 reset(struct minmax *m, u32 t, u32 value) { return minmax_reset(m, t, value); }
bool is_before(u32 a, u32 b) { return before(a, b); }
bool is_after(u32 a, u32 b) { return after(a, b); }
u32 limited(u32 value, u32 low, u32 high) { return clamp(value, low, high); }
u32 once(u32 *calls) { return max(min(++*calls, 5), 2); }
