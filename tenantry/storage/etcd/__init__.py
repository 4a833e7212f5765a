"""The store contract on etcd. Any number of processes may use one etcd."""

from tenantry.storage.etcd.config import EtcdConfig
from tenantry.storage.etcd.store import EtcdStore
from tenantry.storage.etcd.versions import UnsupportedVersion

__all__ = ["EtcdConfig", "EtcdStore", "UnsupportedVersion"]
