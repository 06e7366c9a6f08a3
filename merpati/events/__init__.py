"""The contracts between the services: what is written on the log, where, under which key, and for how long.

`kinds` holds the events, `topics` the one table of kind to topic, key and retention, `codec` the way they are written.
A record's value is the message itself; everything else is one JSON header.  Events only grow: a new field has a
default, a new meaning is a new kind.
"""

from merpati.events.codec import Unreadable, decode, encode
from merpati.events.kinds import (
    Attempt,
    Body,
    Changed,
    Client,
    Dead,
    Envelope,
    Event,
    Happened,
    Local,
    Outbound,
    Received,
    Recipient,
    What,
)
from merpati.events.topics import TOPICS, Topic, TopicSpec, longest_reference, retry_topic, topic_specs

__all__ = [
    "TOPICS",
    "Attempt",
    "Body",
    "Changed",
    "Client",
    "Dead",
    "Envelope",
    "Event",
    "Happened",
    "Local",
    "Outbound",
    "Received",
    "Recipient",
    "Topic",
    "TopicSpec",
    "Unreadable",
    "What",
    "decode",
    "encode",
    "longest_reference",
    "retry_topic",
    "topic_specs",
]
