"""The controller runtime: work queues, retries, listings and workers of controllers, whatever their keys stand for.

    events of a range ──► Controller.keys ──────┐                             ┌──► done
    range acquired ─────► Controller.initial_keys, in slices ──► WorkQueue ──► Controller.reconcile
    Controller.enqueue, Controller.enqueue_all ─┘                  ▲          └──► Retry, error
                                                                   └── DelayQueue ◄───┘

The words are those of client-go's work queue and of controller-runtime. `controller.py` is what a controller is, `queue.py`
keeps each key once and lets logical clusters take turns, `listing.py` goes through many keys in slices, `delay_queue.py` holds
retries until they are due, `workers.py` runs one controller, `runner.py` runs all of them over the ranges of a shard.

There is no resync. When a range is acquired, each controller lists it once; from then on events say what changed.
"""
