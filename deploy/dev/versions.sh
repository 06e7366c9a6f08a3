# The versions of the real servers that the tests run against. The scripts here source this file and
# tests/servers/installed.py reads it, so a version stands in one place. After a change: make lock.
KAFKA_VERSION=4.1.0
KAFKA_SCALA=2.13
KAFKA_SLF4J=2.24.3
MINIO_VERSION=v0.0.0-20260212201848-7aac2a2c5b7c
SEAWEEDFS_VERSION=4.48
GO_VERSION=1.26.6
GO_AT_LEAST=1.24
JAVA_AT_LEAST=17
