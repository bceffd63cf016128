/* What all transports share. */
#include "cli/transport.h"

int transport_start(struct transport *transport, ln_gateway *gateway, struct pcapng *pcap)
{
    transport->gateway = gateway;
    transport->pcap = pcap;
    return transport->ops->start(transport);
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
