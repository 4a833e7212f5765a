"""HTTP/1.1: server and client, TLS, certificates and their renewal."""
