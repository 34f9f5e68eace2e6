"""A metric with its label names, handing out cached children that are cheap to count in."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, Literal, Protocol, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from offload.observe.tally import Distribution, Level, Tally


class _Flushable(Protocol):
    def flush(self) -> None: ...


Child = TypeVar("Child", bound=_Flushable)
GaugeMode = Literal["livesum", "livemax", "livemin", "livemostrecent", "max"]


class Family(ABC, Generic[Child]):
    """The children of one metric, by their label values."""

    def __init__(self, name: str, label_names: Sequence[str]) -> None:
        self.name = name
        self.label_names = tuple(label_names)
        self._children: dict[tuple[str, ...], Child] = {}

    def labels(self, *values: str) -> Child:
        """Return the child with these label values, in the order of `label_names`.

        Label values must come from the configuration or from a closed set (a protocol version, a
        cipher), never from a client: each child lives as long as the process.
        Raises ValueError when the number of values is not the number of names.
        """
        child = self._children.get(values)
        if child is None:
            if len(values) != len(self.label_names):
                raise ValueError(f"{self.name} takes the labels {self.label_names}, not {values}")
            child = self._children[values] = self._create(values)
        return child

    def flush(self) -> None:
        """Write every child to the real metric."""
        for child in self._children.values():
            child.flush()

    @abstractmethod
    def _create(self, values: tuple[str, ...]) -> Child: ...


class CounterFamily(Family[Tally]):
    """A counter; `name` ends in _total."""

    def __init__(
        self, registry: CollectorRegistry, name: str, help_text: str, *label_names: str
    ) -> None:
        super().__init__(name, label_names)
        self._metric = Counter(name, help_text, label_names, registry=registry)

    def _create(self, values: tuple[str, ...]) -> Tally:
        return Tally(self._metric.labels(*values) if values else self._metric)


class GaugeFamily(Family[Level]):
    """A gauge; `mode` says how the values of several live processes become one."""

    def __init__(
        self,
        registry: CollectorRegistry,
        name: str,
        help_text: str,
        *label_names: str,
        mode: GaugeMode = "livesum",
    ) -> None:
        super().__init__(name, label_names)
        self._metric = Gauge(
            name, help_text, label_names, registry=registry, multiprocess_mode=mode
        )

    def _create(self, values: tuple[str, ...]) -> Level:
        return Level(self._metric.labels(*values) if values else self._metric)


class HistogramFamily(Family[Distribution]):
    """A histogram with upper bounds `buckets`, ascending, in the base unit of its name."""

    def __init__(
        self,
        registry: CollectorRegistry,
        name: str,
        help_text: str,
        *label_names: str,
        buckets: Sequence[float],
    ) -> None:
        super().__init__(name, label_names)
        self._bounds = tuple(buckets)
        self._metric = Histogram(
            name, help_text, label_names, registry=registry, buckets=self._bounds
        )

    def _create(self, values: tuple[str, ...]) -> Distribution:
        child = self._metric.labels(*values) if values else self._metric
        return Distribution(child, self._bounds)
