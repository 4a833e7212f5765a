"""The store contract on etcd. Any number of processes may use one etcd."""

from tenantry.storage.etcd.config import EtcdConfig
from tenantry.storage.etcd.server_version import UnsupportedVersion
from tenantry.storage.etcd.store import EtcdStore

__all__ = ["EtcdConfig", "EtcdStore", "UnsupportedVersion"]
