"""The cluster's store: what all members agree on, strongly consistent, watched by everybody.

Nouns: `Catalogue`, the interface (read, compare-and-swap, watch, lease), with two implementations:
SQLite for the processes of one machine, etcd for several machines; `Envelope`, a value signed by
the member that wrote it, so that who runs the store cannot change it; the paths (`paths`) that
values are kept under. A store holds wrapped keys only.
"""
