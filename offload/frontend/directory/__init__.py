"""The front-end as a client of its cluster: which workers there are, and what sites serve with.

Nouns: a `Picture` is what members of the cluster have signed, verified, of what front-ends may
read; the `Clerk`, a process of its own, keeps it current by watching the catalogue, writes it to a
`DirectoryFile` and rings; a `Follower` in each serving process reads the file, verifies it again,
and sees to it that pool and sites are as it says. What each process has reached stands on the
`Board` as a `Report`; the clerk tells the cluster what all of them have.

Serving processes never wait for the catalogue, and a front-end starts and goes on without one.
"""
