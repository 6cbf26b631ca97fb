// SPDX-License-Identifier: GPL-2.0
/* Reno, as in net/ipv4/tcp_cong.c, as a module. */
#include <linux/module.h>
#include <net/tcp.h>

static void mine_cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	struct tcp_sock *tp = tcp_sk(sk);

	if (!tcp_is_cwnd_limited(sk))
		return;
	if (tcp_in_slow_start(tp)) {
		acked = tcp_slow_start(tp, acked);
		if (!acked)
			return;
	}
	tcp_cong_avoid_ai(tp, tcp_snd_cwnd(tp), acked);
}

static u32 mine_ssthresh(struct sock *sk)
{
	return max(tcp_snd_cwnd(tcp_sk(sk)) >> 1U, 2U);
}

static u32 mine_undo_cwnd(struct sock *sk)
{
	return max(tcp_snd_cwnd(tcp_sk(sk)), tcp_sk(sk)->prior_cwnd);
}

static struct tcp_congestion_ops mine __read_mostly = {
	.name = "mine",
	.owner = THIS_MODULE,
	.ssthresh = mine_ssthresh,
	.cong_avoid = mine_cong_avoid,
	.undo_cwnd = mine_undo_cwnd,
};

static int __init mine_register(void)
{
	return tcp_register_congestion_control(&mine);
}

static void __exit mine_unregister(void)
{
	tcp_unregister_congestion_control(&mine);
}

module_init(mine_register);
module_exit(mine_unregister);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Reno as a module");
