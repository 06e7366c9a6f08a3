"""The bus on Apache Kafka.

`bus` is the engine that the rest of the project sees.  `publisher` produces and `tail` follows and scans with aiokafka;
`pump` and `subscription` consume in groups, and `admin` looks after topics and positions, with kafka-python.  `options`
turns the settings into both clients' parameters, `errors` their exceptions into ours.
"""

from merpati.bus.kafka.bus import KafkaBus
from merpati.bus.kafka.options import addresses_of

__all__ = ["KafkaBus", "addresses_of"]
