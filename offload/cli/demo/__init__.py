"""`offload demo`: the whole product on one machine, started, used and explained.

Nouns: `Children`, the processes that the demonstration starts and always ends; `Visit`, one
HTTPS request and how its handshake went; `Scan`, a search of a process's memory for private
keys; the `website`, a sample backend. The command builds a state directory, starts the children
on it, visits the site, scans, and tells the story.
"""

from offload.cli.demo.command import demo

__all__ = ["demo"]
