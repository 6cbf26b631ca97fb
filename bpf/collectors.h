/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
#include "kernel.h"
#include "endpoints.h"
#include "packet.h"
#include "events.h"
