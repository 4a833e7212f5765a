"""`make hostile`: the effect of a hostile tenant on its neighbours, compared with the same requests to kube-apiserver."""
