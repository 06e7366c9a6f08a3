"""The network as the services see it: names, addresses, TLS, the PROXY protocol, and streams that carry a protocol."""
