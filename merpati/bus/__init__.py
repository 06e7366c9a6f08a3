"""The log that every hop goes through: one API, three engines (SQLite, Kafka, memory), one contract suite."""
