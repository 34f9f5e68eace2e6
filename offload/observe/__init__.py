"""What an operator sees: metrics, logs and the admin endpoint.

Nouns: a *family* is a metric with its labels, declared in `metrics` and nowhere else; a *tally*,
*level* or *distribution* is one labelled child of it, counted locally in the hot path and
written to the real metric by `flush` (a timer of `flusher`, and each scrape). `multiprocess`
owns the directory through which the processes of one command share their values; `endpoint`
serves them beside the health checks. `log` writes structured lines, `sampler` keeps a hot
message from flooding them.
"""
