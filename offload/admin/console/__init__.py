"""The web console: files that a browser reads, and which ask for nothing but REST's answers.

Nouns: `Asset`, one such file with its media type. There is no state here: who looks signs in with
a bearer token, which the page keeps in memory, or with the browser's client certificate.
"""
