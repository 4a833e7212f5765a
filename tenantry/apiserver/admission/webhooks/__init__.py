"""Admission webhooks: which are asked about a write, what they are sent, and what their answers do (KEP-492, KEP-3716)."""
