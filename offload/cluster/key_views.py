"""Keys as answers show them."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from offload.catalogue import paths
from offload.cluster.acts import ListKeys
from offload.cluster.copies import needed
from offload.cluster.failures import NotFound
from offload.cluster.finding import find, is_current, name_of
from offload.cluster.view import View
from offload.cluster.views import CopyView, KeyPage, KeyView
from offload.keys.managed import ManagedKey


def key_view(view: View, key: ManagedKey) -> KeyView:
    """Everything that may be told of a key."""
    return KeyView(
        ski=key.ski.hex(),
        label=key.label,
        generation=key.generation,
        current=is_current(view, key),
        algorithm=str(key.algorithm),
        state=str(key.state),
        purpose=str(key.purpose),
        public_key=public_pem(key),
        sites=key.policy.sites,
        frontends=key.policy.frontends,
        audit_signatures=key.policy.audit_signatures,
        exportable=key.exportable,
        replicated=key.replicated,
        home=key.home,
        created=key.created,
        changed=key.changed,
        activates=key.activates,
        deactivates=key.deactivates,
        destroy_at=key.destroy_at,
        copies=_copies(view, key),
        copies_needed=needed(view, key),
        signatures=_signatures(view, key),
    )


def page(view: View, act: ListKeys) -> KeyPage:
    """The keys that the act asks for, ordered by label and generation; raises NotFound for an
    `after` that names no key.
    """
    found: list[ManagedKey] = []
    for key in _from(view, act.after):
        if _matches(key, act):
            found.append(key)
            if len(found) > act.limit:
                break
    more = len(found) > act.limit
    shown = found[: act.limit]
    return KeyPage(
        keys=tuple(key_view(view, key) for key in shown),
        next=name_of(shown[-1]) if more else "",
    )


def public_pem(key: ManagedKey) -> str:
    """The public half as PEM."""
    public = load_der_public_key(key.public_key)
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _from(view: View, after: str) -> Iterator[ManagedKey]:
    labels = sorted(view.labels)
    at, generation = 0, 0
    if after:
        last = _last(view, after)
        at, generation = bisect_right(labels, last.label) - 1, last.generation
    for label in labels[at:]:
        for ski in view.labels[label].generations:
            key = view.keys.get(bytes.fromhex(ski))
            if key is not None and key.generation > generation:
                yield key
        generation = 0


def _last(view: View, after: str) -> ManagedKey:
    try:
        return find(view, after)
    except NotFound:
        raise NotFound(f"there is no key {after!r} to go on after: begin the list anew") from None


def _matches(key: ManagedKey, act: ListKeys) -> bool:
    label = act.label
    return (
        (act.state is None or key.state is act.state)
        and (act.algorithm is None or key.algorithm is act.algorithm)
        and (label is None or label == key.label or _begins(key.label, label))
        and (act.site is None or key.policy.covers_site(act.site))
        and (act.frontend is None or key.policy.allows_frontend(act.frontend))
    )


def _begins(label: str, pattern: str) -> bool:
    return pattern.endswith("*") and label.startswith(pattern[:-1])


def _copies(view: View, key: ManagedKey) -> tuple[CopyView, ...]:
    holdings = view.holdings.get(key.ski, {})
    return tuple(
        CopyView(member=name, state=holdings[name].state, lag_seconds=holdings[name].lag_seconds)
        for name in sorted(holdings)
        if name in view.members
    )


def _signatures(view: View, key: ManagedKey) -> int:
    """What the members have counted, each for itself."""
    total = 0
    for member in view.members:
        body = view.at(f"{paths.USAGE}{member}/{key.ski.hex()}")
        if isinstance(body, bytes):
            counted = json.loads(body)
            total += counted.get("signatures", 0) if isinstance(counted, dict) else 0
    return total
