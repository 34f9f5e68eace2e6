"""Benchmarks of the front-end and the worker beside nginx and HAProxy, in one run.

Nouns: a *subject* (offload, nginx, haproxy) is started as one process on the measured core; a
*load* (wrk, curl, idle connections) drives it from the other core; a *measure* divides the
subject's processor time, or memory, by what the load completed; a *row* is one figure of the
report. Subjects take turns within a measure, so that a noisy machine disturbs all alike.
"""
