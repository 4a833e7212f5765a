"""Workspaces and what belongs to them: kcp's types, admission, authorization and controllers."""
