"""The front-end's view of the workers: who signs, over which link, and what if he does not.

Nouns: a `SigningOperation` is one signature, asked once and answered once; the `Pool` takes it,
`choice` picks a `RemoteWorker` by the time it is expected to take (its measured `rate`), a `Link`
carries it there and its answer back, the `DeadlineQueue` ends it when nobody answers in time. A
`Connector` keeps a link up; the link stands on a `Channel` of mutual TLS.
A `WorkerSpec` describes a worker; `Pool.set_workers` takes the present ones at any time, since
those of a cluster come and go.
A worker's `Health` says whether and how much it is asked: one that fails, is far slower than its
peers (`latency`) or signs wrongly is ejected, probed and let back bit by bit.
An operation that is late goes to a second worker too (`Hedge`), within a budget; one that would
come too late (`admission`) is refused at once. An operation whose link breaks, or that a worker
refuses for a reason of its own, goes to another worker at once; while no worker is up, operations
wait for one for a short grace, and later ones not at all.

`Signer` is the seam to the front-end; `fake.FakePool` is the scripted one for its tests.
"""
