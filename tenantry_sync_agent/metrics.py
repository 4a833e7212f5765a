"""The metrics of the agent, in Prometheus' registry of the process."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

LEADING = Gauge("tenantry_sync_leading", "1 while this process leads, else 0.")
STEPS = Counter("tenantry_sync_steps", "Requests that changed an object, by what they do.", ("step",))
FAILURES = Counter("tenantry_sync_failures", "Objects that could not be synced and are retried.", ("reason",))
CONFLICTS = Counter("tenantry_sync_conflicts", "Objects that are not synced because others own the object below.")
LISTS = Counter("tenantry_sync_lists", "Lists: one for each type and URL at the start, and after each 410.")
WATCH_EVENTS = Counter("tenantry_sync_watch_events", "Events of watches, without bookmarks.")
HEARTBEATS = Counter("tenantry_sync_heartbeats", "Heartbeats that the server above took.")
LAST_HEARTBEAT = Gauge("tenantry_sync_last_heartbeat_timestamp_seconds", "When the last heartbeat was taken.")
QUEUE = Gauge("tenantry_sync_queue_keys", "Objects that wait for a worker.")
RETRYING = Gauge("tenantry_sync_retrying_keys", "Objects that wait for a retry.")
OBJECTS = Gauge("tenantry_sync_objects", "Objects in memory.", ("side",))
RECONCILE = Histogram("tenantry_sync_reconcile_seconds", "Time from a key's start to its end, all its steps included.")
