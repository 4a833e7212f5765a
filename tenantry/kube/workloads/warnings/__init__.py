"""What kube-apiserver warns of when objects of workload types are written: fields and labels that are deprecated, values that
hide each other. The texts go out as Warning headers."""
