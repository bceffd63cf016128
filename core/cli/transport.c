/* What all transports share. */
#include "cli/transport.h"

#include "net/gateway.h"

int transport_start(struct transport *transport, ln_gateway *gateway, struct pcapng *pcap)
{
    transport->gateway = gateway;
    transport->pcap = pcap;
    return transport->ops->start(transport);
}

uint64_t transport_now(const struct transport *transport)
{
    const struct host_services *services = &gateway_loop(transport->gateway)->services;
    return services->now_ns(services->user);
}

bool transport_goes_on(const struct transport *transport, uint64_t since_ns)
{
    return transport->turn_ns == 0 || transport_now(transport) - since_ns < transport->turn_ns;
}

void transport_input(struct transport *transport, const ln_frame *frame)
{
    if (transport->pcap != NULL) {
        pcapng_put(transport->pcap, frame, PCAPNG_OUTBOUND);
    }
    (void)ln_gateway_input(transport->gateway, frame);
}

int transport_send(struct transport *transport, const ln_frame *frame)
{
    if (transport->pcap != NULL) {
        pcapng_put(transport->pcap, frame, PCAPNG_INBOUND);
    }
    return transport->ops->send(transport, frame);
}

void transport_flush(struct transport *transport)
{
    if (transport->ops->flush != NULL) {
        transport->ops->flush(transport);
    }
}

void transport_stop(struct transport *transport)
{
    if (transport != NULL && transport->ops != NULL) {
        transport->ops->stop(transport);
    }
}
