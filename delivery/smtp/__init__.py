"""The SMTP client: `client` is the protocol, sans-io; `driver` carries it over a socket.

Called by remote delivery.  `Client` is fed bytes and answers with actions; it is put together from `opening` (greeting
to readiness) and `transaction` (one message), on the values of `replies`, `extensions`, `envelope` and `outcome`.
`body` is what a message looks like behind DATA.  Only `driver` waits, and only it knows that there is a network.
"""
