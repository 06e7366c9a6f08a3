"""What a message is, read from its bytes: headers, addresses, MIME structure, the forms IMAP wants, reports.

Pure: bytes in, values out; no I/O, no clock, no dice.  Every reader takes any bytes at all without an exception, in
time linear in their length, within the limits named in its module.  Received bytes are never written anew: what is
found is offsets into them.
"""
