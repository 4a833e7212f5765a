"""The views for objects that are synced with other API servers: `/services/syncer/…`, `/services/upsyncer/…` and SyncTargets.

This module imports nothing: the agent (`tenantry_sync_agent`) uses `names` and needs no server.
"""
