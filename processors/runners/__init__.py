"""What feeds records to `working` and acknowledges them: `embedded` over any bus, `stream` over Kafka with faust."""
