"""The states of a key and the one table of ways between them (NIST SP 800-57 part 1 rev. 5, 7).

The law: a key signs only while active; compromised and destroyed are never left for a usable
state; what is destroyed has no private key anywhere any more.
"""

from enum import StrEnum


class State(StrEnum):
    """Where in its life a key is."""

    PRE_ACTIVE = "pre-active"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    DEACTIVATED = "deactivated"
    COMPROMISED = "compromised"
    DESTROYED = "destroyed"


class Step(StrEnum):
    """What moves a key from one state to another."""

    ACTIVATE = "activate"
    SUSPEND = "suspend"
    RESUME = "resume"
    DEACTIVATE = "deactivate"
    COMPROMISE = "compromise"
    DESTROY = "destroy"


class IllegalStep(Exception):
    """The key's state does not allow that step; the text says which steps it does allow."""


TRANSITIONS = {
    (State.PRE_ACTIVE, Step.ACTIVATE): State.ACTIVE,
    (State.PRE_ACTIVE, Step.COMPROMISE): State.COMPROMISED,
    (State.PRE_ACTIVE, Step.DESTROY): State.DESTROYED,
    (State.ACTIVE, Step.SUSPEND): State.SUSPENDED,
    (State.ACTIVE, Step.DEACTIVATE): State.DEACTIVATED,
    (State.ACTIVE, Step.COMPROMISE): State.COMPROMISED,
    (State.SUSPENDED, Step.RESUME): State.ACTIVE,
    (State.SUSPENDED, Step.DEACTIVATE): State.DEACTIVATED,
    (State.SUSPENDED, Step.COMPROMISE): State.COMPROMISED,
    (State.SUSPENDED, Step.DESTROY): State.DESTROYED,
    (State.DEACTIVATED, Step.COMPROMISE): State.COMPROMISED,
    (State.DEACTIVATED, Step.DESTROY): State.DESTROYED,
    (State.COMPROMISED, Step.DESTROY): State.DESTROYED,
}


def after(state: State, step: Step) -> State:
    """The state that the step leads to; raises IllegalStep."""
    try:
        return TRANSITIONS[state, step]
    except KeyError:
        allowed = ", ".join(steps(state)) or "nothing more"
        article = "an" if state is State.ACTIVE else "a"
        raise IllegalStep(
            f"{article} {state} key cannot be moved by {step!s}: possible is {allowed}"
        ) from None


def steps(state: State) -> tuple[Step, ...]:
    """What a key in that state can be moved by."""
    return tuple(step for start, step in TRANSITIONS if start is state)
