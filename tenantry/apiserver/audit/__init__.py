"""Records requests as audit events, and delivers these to a log file and a webhook (kube-apiserver's --audit-… flags)."""
