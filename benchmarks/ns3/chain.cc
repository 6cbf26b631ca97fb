// SPDX-License-Identifier: Apache-2.0
// The ns-3 scenario: TCP flows from one host through a chain of routers to another host.
//
//     sender -- r1 == link 1 == r2 == link 2 == ... == r(K+1) -- receiver
//
// All K links between routers have the same rate and queue, and share the delay equally.  With one link, this is the
// dumbbell of lab's experiments.  The program prints one JSON object.  Rates are in bit/s, times in ns, sizes in bytes.
//
// It uses what is fastest in ns-3: no queueing discipline above the device's queue, static routes with as few entries as
// possible, no IPv6, and writes of exactly one segment, which ns-3 neither splits nor joins.

#include "ns3/applications-module.h"
#include "ns3/core-module.h"
#include "ns3/internet-module.h"
#include "ns3/network-module.h"
#include "ns3/point-to-point-module.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

using namespace ns3;

namespace
{

constexpr uint32_t kSegmentBytes = 1448;
constexpr uint16_t kFirstPort = 5201;

// A packet has 14 bytes of Ethernet header on lab's links, and 2 bytes of PPP header on those of ns-3.  Rates and queues
// are scaled by the ratio of the sizes of a full packet, so that both carry the same number of packets.
constexpr double kFrameRatio = (1500.0 + 2.0) / (1500.0 + 14.0);

// One row of the trace.  It has a fixed size, and is written for each change of one of its last three fields.
struct Row
{
    int64_t atNs;
    uint32_t flow;
    uint32_t cwndBytes;
    uint32_t ssthreshBytes;
    uint32_t rttUs;
};

static_assert(sizeof(Row) == 24);

// The state of a sender, which is appended to a file whenever it changes.
class Tracer
{
  public:
    Tracer(FILE* file, uint32_t flow, Ptr<Socket> socket)
        : m_file(file)
    {
        m_row.flow = flow;
        bool connected =
            socket->TraceConnectWithoutContext("CongestionWindow", MakeCallback(&Tracer::Cwnd, this)) &&
            socket->TraceConnectWithoutContext("SlowStartThreshold",
                                               MakeCallback(&Tracer::Ssthresh, this)) &&
            socket->TraceConnectWithoutContext("RTT", MakeCallback(&Tracer::Rtt, this));
        NS_ABORT_MSG_UNLESS(connected, "the socket lacks a trace source");
    }

  private:
    void Cwnd(uint32_t, uint32_t now)
    {
        m_row.cwndBytes = now;
        Write();
    }

    void Ssthresh(uint32_t, uint32_t now)
    {
        m_row.ssthreshBytes = now;
        Write();
    }

    void Rtt(Time, Time now)
    {
        m_row.rttUs = static_cast<uint32_t>(now.GetMicroSeconds());
        Write();
    }

    void Write()
    {
        m_row.atNs = Simulator::Now().GetNanoSeconds();
        std::fwrite(&m_row, sizeof m_row, 1, m_file);
    }

    FILE* m_file;
    Row m_row{};
};

struct Options
{
    uint64_t rate{20000000};
    uint64_t delay{20000000};
    uint32_t queue{100000};
    uint32_t flows{1};
    uint32_t links{1};
    uint32_t buffer{16 << 20};
    double duration{10};
    std::string algorithm{"TcpCubic"};
    std::string trace;
};

Options
Parse(int argc, char** argv)
{
    Options options;
    CommandLine line(__FILE__);
    line.AddValue("rate", "rate of each link between routers, in bit/s", options.rate);
    line.AddValue("delay", "one-way delay of all links together, in ns", options.delay);
    line.AddValue("queue", "limit of the queue in front of each link, in bytes", options.queue);
    line.AddValue("flows", "number of flows", options.flows);
    line.AddValue("links", "number of links between routers", options.links);
    line.AddValue("buffer", "size of the sockets' buffers, in bytes", options.buffer);
    line.AddValue("duration", "duration of the traffic, in seconds", options.duration);
    line.AddValue("algorithm", "congestion control: TcpCubic or TcpBbr", options.algorithm);
    line.AddValue("trace", "file for the trace; none if empty", options.trace);
    line.Parse(argc, argv);
    return options;
}

// Make TCP as Linux has it in lab's guest.
void
SetTcp(const Options& options)
{
    Config::SetDefault("ns3::TcpL4Protocol::SocketType", StringValue("ns3::" + options.algorithm));
    Config::SetDefault("ns3::TcpL4Protocol::RecoveryType", StringValue("ns3::TcpPrrRecovery"));
    Config::SetDefault("ns3::TcpSocket::SegmentSize", UintegerValue(kSegmentBytes));
    Config::SetDefault("ns3::TcpSocket::InitialCwnd", UintegerValue(10));
    Config::SetDefault("ns3::TcpSocket::DelAckCount", UintegerValue(2));
    Config::SetDefault("ns3::TcpSocket::DelAckTimeout", TimeValue(MilliSeconds(40)));
    Config::SetDefault("ns3::TcpSocket::SndBufSize", UintegerValue(options.buffer));
    Config::SetDefault("ns3::TcpSocket::RcvBufSize", UintegerValue(options.buffer));
    Config::SetDefault("ns3::TcpSocketBase::Sack", BooleanValue(true));
    Config::SetDefault("ns3::TcpSocketBase::Timestamp", BooleanValue(true));
    Config::SetDefault("ns3::TcpSocketBase::WindowScaling", BooleanValue(true));
    Config::SetDefault("ns3::TcpSocketBase::MinRto", TimeValue(MilliSeconds(200)));
    Config::SetDefault("ns3::TcpSocketBase::ClockGranularity", TimeValue(MilliSeconds(1)));
}

// The nodes in a row, from the sender to the receiver, and the devices at both ends of each link between them.
struct Chain
{
    NodeContainer nodes;
    std::vector<NetDeviceContainer> links;

    uint32_t Last() const
    {
        return nodes.GetN() - 1;
    }
};

NetDeviceContainer
Connect(const NodeContainer& nodes,
        uint32_t left,
        const DataRate& rate,
        const Time& delay,
        const QueueSize& queue)
{
    PointToPointHelper link;
    link.SetDeviceAttribute("DataRate", DataRateValue(rate));
    link.SetChannelAttribute("Delay", TimeValue(delay));
    link.SetQueue("ns3::DropTailQueue<Packet>", "MaxSize", QueueSizeValue(queue));
    // Without this, the traffic control layer would hold packets back rather than let a full queue drop them.
    link.DisableFlowControl();
    return link.Install(nodes.Get(left), nodes.Get(left + 1));
}

Chain
Build(const Options& options)
{
    Chain chain;
    chain.nodes.Create(options.links + 3);
    InternetStackHelper internet;
    internet.SetIpv6StackInstall(false);
    internet.SetRoutingHelper(Ipv4StaticRoutingHelper());
    internet.Install(chain.nodes);

    const DataRate rate(static_cast<uint64_t>(options.rate * kFrameRatio));
    const Time delay = NanoSeconds(options.delay / options.links);
    const QueueSize queue(QueueSizeUnit::BYTES, static_cast<uint32_t>(options.queue * kFrameRatio));
    // The links of the hosts have neither a rate limit nor delay in lab.  In ns-3, a device must have a rate.
    const DataRate fast("1000Gbps");
    const QueueSize deep("100000p");
    for (uint32_t left = 0; left < chain.Last(); left++)
    {
        const bool isAccess = left == 0 || left == chain.Last() - 1;
        chain.links.push_back(isAccess ? Connect(chain.nodes, left, fast, Time(0), deep)
                                       : Connect(chain.nodes, left, rate, delay, queue));
    }
    return chain;
}

// Give all interfaces addresses, and the routers one route in each direction.  Return the receiver's address.
Ipv4Address
SetAddresses(const Chain& chain)
{
    Ipv4AddressHelper addresses("10.0.0.0", "255.255.255.0");
    std::vector<Ipv4InterfaceContainer> interfaces;
    for (const auto& devices : chain.links)
    {
        interfaces.push_back(addresses.Assign(devices));
        addresses.NewNetwork();
    }
    Ipv4StaticRoutingHelper routing;
    const Ipv4Address receiver = interfaces.back().GetAddress(1);
    const Ipv4Address sender = interfaces.front().GetAddress(0);
    for (uint32_t node = 0; node <= chain.Last(); node++)
    {
        Ptr<Ipv4StaticRouting> table = routing.GetStaticRouting(chain.nodes.Get(node)->GetObject<Ipv4>());
        // Interface 0 is the loopback interface; then come the ones to the left and to the right.
        if (node + 1 < chain.Last())
        {
            table->AddHostRouteTo(receiver, interfaces[node].GetAddress(1), node == 0 ? 1 : 2);
        }
        if (node > 1)
        {
            table->AddHostRouteTo(sender, interfaces[node - 1].GetAddress(0), 1);
        }
    }
    return receiver;
}

Ptr<Queue<Packet>>
QueueOf(const Chain& chain, uint32_t link, uint32_t end)
{
    return DynamicCast<PointToPointNetDevice>(chain.links[link].Get(end))->GetQueue();
}

// Install flow number `flow`, from 0, and trace its sender if there is a file.  Return its receiver.
Ptr<PacketSink>
InstallFlow(const Chain& chain, const Ipv4Address& receiver, uint32_t flow, FILE* trace)
{
    const InetSocketAddress address(receiver, kFirstPort + flow);
    BulkSendHelper bulk("ns3::TcpSocketFactory", address);
    bulk.SetAttribute("SendSize", UintegerValue(kSegmentBytes));
    PacketSinkHelper sink("ns3::TcpSocketFactory", InetSocketAddress(Ipv4Address::GetAny(), kFirstPort + flow));
    Ptr<PacketSink> server = DynamicCast<PacketSink>(sink.Install(chain.nodes.Get(chain.Last())).Get(0));
    ApplicationContainer client = bulk.Install(chain.nodes.Get(0));
    server->SetStartTime(Time(0));
    client.Start(NanoSeconds(1));
    if (trace != nullptr)
    {
        Ptr<BulkSendApplication> sender = DynamicCast<BulkSendApplication>(client.Get(0));
        // The socket exists only once the application has started.  The tracer must live as long as the simulation.
        Simulator::Schedule(NanoSeconds(2), [trace, flow, sender] { new Tracer(trace, flow, sender->GetSocket()); });
    }
    return server;
}

} // namespace

int
main(int argc, char** argv)
{
    const Options options = Parse(argc, argv);
    SetTcp(options);
    const Chain chain = Build(options);
    const Ipv4Address receiver = SetAddresses(chain);
    FILE* trace = options.trace.empty() ? nullptr : std::fopen(options.trace.c_str(), "wb");
    NS_ABORT_MSG_IF(trace == nullptr && !options.trace.empty(), "cannot write " << options.trace);
    std::vector<Ptr<PacketSink>> servers;
    for (uint32_t flow = 0; flow < options.flows; flow++)
    {
        servers.push_back(InstallFlow(chain, receiver, flow, trace));
    }
    Simulator::Stop(Seconds(options.duration));
    Simulator::Run();

    uint64_t received = 0;
    for (const auto& server : servers)
    {
        received += server->GetTotalRx();
    }
    const Ptr<Queue<Packet>> forward = QueueOf(chain, 1, 0);
    const Ptr<Queue<Packet>> reverse = QueueOf(chain, chain.Last() - 2, 1);
    std::cout << "{\"received_bytes\": " << received
              << ", \"packets\": " << forward->GetTotalReceivedPackets()
              << ", \"dropped\": " << forward->GetTotalDroppedPackets()
              << ", \"ack_packets\": " << reverse->GetTotalReceivedPackets()
              << ", \"events\": " << Simulator::GetEventCount()
              << ", \"trace_bytes\": " << (trace == nullptr ? 0 : std::ftell(trace)) << "}" << std::endl;
    if (trace != nullptr)
    {
        std::fclose(trace);
    }
    Simulator::Destroy();
    return EXIT_SUCCESS;
}
