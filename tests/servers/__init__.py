"""The real servers for the tests: Kafka, MinIO, SeaweedFS and Postfix, as context managers that give handles.

`with kafka(tmp) as cluster:` starts one that the test may kill, pause and restart; the fixtures of tests/conftest.py
(`kafka_url`, `s3_url`, `seaweed_url`) share one among all tests. A part that is not installed raises Missing, which
tests/conftest.py turns into a loud skip, or into a failure in CI.
"""

from tests.servers.certificate import Pair, self_signed
from tests.servers.installed import Missing, tool
from tests.servers.kafka_cluster import Cluster, kafka
from tests.servers.object_stores import ENVIRONMENT as S3_ENVIRONMENT
from tests.servers.object_stores import ObjectStoreServer, minio, new_bucket, seaweedfs
from tests.servers.ports import free_port
from tests.servers.postfix_mta import Postfix, postfix
from tests.servers.process import Server

__all__ = [
    "S3_ENVIRONMENT",
    "Cluster",
    "Missing",
    "ObjectStoreServer",
    "Pair",
    "Postfix",
    "Server",
    "free_port",
    "kafka",
    "minio",
    "new_bucket",
    "postfix",
    "seaweedfs",
    "self_signed",
    "tool",
]
