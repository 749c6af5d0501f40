//! The product's own log as part of the history, and as the witness of rare branches.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::world::World;

/// What the product says when it takes a branch that faults alone lead to.
const WITNESSES: [(&str, &str); 7] = [
    ("fenced", "fenced write"),
    ("settle refused: a newer attempt owns the chunk", "stale settle"),
    ("lease lost; the chunk was dropped", "lease lost"),
    ("expired leases taken back", "lease expired"),
    ("chunk is settled or taken", "claim refused"),
    ("ledger call is retried", "ledger call retried"),
    ("another coordinator has planned meanwhile", "planned twice"),
];

/// Passes the events of our crates on to the history.
pub(crate) struct Log {
    world: Arc<World>,
    spans: AtomicU64,
}

impl Log {
    pub(crate) const fn new(world: Arc<World>) -> Self {
        Self { world, spans: AtomicU64::new(1) }
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let ours = ["worker", "coordinator", "ledger", "queue", "connectors"];
        *metadata.level() <= Level::DEBUG && ours.iter().any(|name| metadata.target().starts_with(name))
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed))
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut said = Said::default();
        event.record(&mut said);
        if let Some((_, mark)) = WITNESSES.iter().find(|(text, _)| *text == said.message) {
            self.world.mark(mark);
        }
        self.world.line(&format!("{}{}", said.message, said.fields));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Said {
    message: String,
    fields: String,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            let _ = write!(self.fields, " {}={value:?}", field.name());
        }
    }
}
