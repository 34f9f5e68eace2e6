"""The `offload` command: one file per command group.

Nouns: `main`, the whole command and its exit code; `Failure`, what a command says when it cannot
do its work; `Call`, whom a command asks and who asks; `Session`, what performs acts of a cluster
for it: a member over REST (`Remote`) or one in this process (`Embedded`); `State`, the directory
that `offload init` makes and `offload demo` runs on. Arguments go in, one `Failure` or an exit code
comes out: 0 done, 1 failed, 2 wrong usage.

The modules of commands import what they drive inside the command, so that `offload --help` is
quick and `offload frontend` can re-execute itself before anything loads libcrypto.
"""
