"""`make hostile`: what one tenant that means harm costs its neighbours, beside the same requests to kube-apiserver."""
