"""The controller runtime: work queues, retries, listings and workers of controllers. Keys may be of any type.

    events of a range ──► Controller.keys ──────┐                             ┌──► done
    range acquired ─────► Controller.initial_keys, in slices ──► WorkQueue ──► Controller.reconcile
    Controller.enqueue, Controller.enqueue_all ─┘                  ▲          └──► Retry, error
                                                                   └── DelayQueue ◄───┘

The terms are those of client-go's work queue and of controller-runtime. `controller.py` is the base class of controllers.
`queue.py` has each key once and lets logical clusters take turns. `listing.py` iterates over many keys in slices.
`delay_queue.py` has the retries until they are due. `workers.py` runs one controller. `runner.py` runs all controllers over the
ranges of a shard.

There is no resync. When a shard acquires a range, each controller lists it once. From then on it gets the events of the range.
"""
