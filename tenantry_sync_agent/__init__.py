"""`tenantry-sync`: syncs the objects of one SyncTarget to another API server, and their status back.

A separate program: it uses the HTTP APIs of both servers and nothing of tenantry's processes.
"""
