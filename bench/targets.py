"""What the product aims at; the report gives a verdict for each in every run."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """A bound on the product's value, or (`of_ratio`) on its ratio to nginx."""

    measure: str
    key: str
    bound: float
    of_ratio: bool
    at_least: bool = False

    def met_by(self, figure: float) -> bool:
        """Whether a figure is on the right side of the bound."""
        return figure >= self.bound if self.at_least else figure <= self.bound

    @property
    def bound_text(self) -> str:
        sign = ">=" if self.at_least else "<="
        return f"{sign} {self.bound:g}" + (" x nginx" if self.of_ratio else "")


TARGETS = (
    Target("handshake_cpu", "rsa-2048", 0.75, of_ratio=True),
    Target("handshake_cpu", "rsa-4096", 0.10, of_ratio=True),
    Target("handshake_cpu", "p-256", 1.0, of_ratio=True),
    Target("handshake_rate_ratio", "20ms", 0.95, of_ratio=False, at_least=True),
    Target("handshake_rate_ratio", "100ms", 0.95, of_ratio=False, at_least=True),
    Target("worker_signature_ratio", "rsa-2048", 0.9, of_ratio=False, at_least=True),
    Target("worker_signature_ratio", "p-256", 0.6, of_ratio=False, at_least=True),
    Target("keepalive_cpu", "p-256", 1.1, of_ratio=True),
    Target("relay_cpu", "download", 0.75, of_ratio=True),
    Target("relay_cpu", "upload", 0.75, of_ratio=True),
    Target("idle_memory", "handshake", 25.0, of_ratio=False),
)
