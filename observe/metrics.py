"""Every metric of driftline, by name; ``docs/operations.md`` says what to make of each.

No label has values that events make up: topics, partitions, verdicts and reasons are few, models are cut off at
:data:`MODELS`.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

MODELS = 1_000
"""Models with a series of their own; the others share ``model="(others)"``."""

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series per counter, which Prometheus does not use


class Metrics:
    """The metrics of one process, in a registry of its own."""

    def __init__(self, role: str) -> None:
        self.registry = here = CollectorRegistry()
        ProcessCollector(registry=here)
        self.role = Gauge("driftline_role", "1, labelled with the role that the process runs", ["role"], registry=here)
        self.role.labels(role).set(1)
        self.ready = Gauge(
            "driftline_ready", "1 where a condition of being ready holds, else 0", ["check"], registry=here
        )
        self.loop_age = Gauge("driftline_loop_age_seconds", "Seconds since the main loop last turned", registry=here)
        self.waits = Counter(
            "driftline_waits_total", "Times that ClickHouse or Kafka did not answer and was waited for", registry=here
        )
        self.events = Counter(
            "driftline_events_total",
            "Records that became durable, by what became of each",
            ["topic", "verdict"],
            registry=here,
        )
        self.dead_letters = Counter(
            "driftline_dead_letters_total", "Records that can never be used, by reason", ["reason"], registry=here
        )
        self.messages = Counter(
            "driftline_messages_total", "Messages of driftline's own topics that were worked off", ["topic"],
            registry=here,
        )  # fmt: skip
        self.lag = Gauge(
            "driftline_consumer_lag",
            "Records between what this process has committed and the end of the log that it last heard of",
            ["topic", "partition"],
            registry=here,
        )
        self.event_time_lag = Gauge(
            "driftline_event_time_lag_seconds",
            "Seconds from the event time through which this process is done with a model to now",
            ["model"],
            registry=here,
        )
        self.checkpoint_age = Gauge(
            "driftline_checkpoint_age_seconds",
            "Seconds since the oldest work began that no checkpoint holds; 0: there is none",
            registry=here,
        )
        self.checkpoint = Histogram(
            "driftline_checkpoint_seconds",
            "How long checkpoints took",
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
            registry=here,
        )
        self.ticks = Counter(
            "driftline_ticks_total", "Ticks of models' decision clocks that were decided and told", registry=here
        )
        self.fits = Histogram(
            "driftline_fit_seconds",
            "How long trainings took, by what came of them",
            ["status"],
            buckets=(1, 5, 15, 60, 300, 900, 3600, 14400),
            registry=here,
        )
        self.deliveries = Counter(
            "driftline_deliveries_total", "Rings of a channel, by what became of each", ["channel", "state"],
            registry=here,
        )  # fmt: skip
        self.requests = Histogram(
            "driftline_http_request_seconds",
            "How long pages took, by the status of the answer",
            ["status"],
            buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=here,
        )
