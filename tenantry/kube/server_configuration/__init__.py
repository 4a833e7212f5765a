"""The configuration files of an API server (`apiserver.config.k8s.io`): what they mean, and what is wrong with them."""
