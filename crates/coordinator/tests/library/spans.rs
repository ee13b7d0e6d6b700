//! The spans around a term, a recovery and a signal: what is logged within them carries the epoch and the signal.

use super::{eventually, opening};
use async_trait::async_trait;
use contract::fake::FakeDatabase;
use contract::signal_ledger::{client, signal};
use coordinator::{Coordinator, Leader, Ledger, LedgerSettings};
use domain::lease::Token;
use domain::ledger::{Outcome, Signal};
use domain::ports::{Answer, Recovery, SignalHandler};
use domain::recovery::{Recovered, RecoveryFault};
use std::cell::RefCell;
use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Metadata, Subscriber};

thread_local! {
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Collects the lines of this test, each after the spans that it is in.
#[derive(Clone, Default)]
struct Spans {
    /// `name{field=value}` of each span; its id is its place, from 1.
    named: Arc<Mutex<Vec<String>>>,
    lines: Arc<Mutex<Vec<String>>>,
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, "{{{name}={value:?}}}"),
        }
        .expect("a string");
    }
}

impl Subscriber for Spans {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target().starts_with("coordinator") || metadata.target() == "test"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields(span.metadata().name().to_owned());
        span.record(&mut fields);
        let mut named = self.named.lock().expect("no panic");
        named.push(fields.0);
        Id::from_u64(named.len() as u64)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut message = Fields(String::new());
        event.record(&mut message);
        let named = self.named.lock().expect("no panic");
        let mut line = String::new();
        ENTERED.with_borrow(|ids| {
            for id in ids {
                line += &named[usize::try_from(*id).expect("a place") - 1];
                line += ": ";
            }
        });
        self.lines.lock().expect("no panic").push(line + &message.0);
    }

    fn enter(&self, id: &Id) {
        ENTERED.with_borrow_mut(|ids| ids.push(id.into_u64()));
    }

    fn exit(&self, id: &Id) {
        ENTERED.with_borrow_mut(|ids| assert_eq!(ids.pop(), Some(id.into_u64())));
    }
}

struct Service;

#[async_trait]
impl Recovery for Service {
    async fn recover(&self) -> Result<Recovered, RecoveryFault> {
        tracing::info!(target: "test", "recovers");
        Ok(Recovered::Nothing)
    }
}

#[async_trait]
impl SignalHandler for Service {
    async fn execute(&self, _: &Signal, _: &Token) -> Answer {
        tracing::info!(target: "test", "executes");
        Answer { outcome: Outcome::Done, note: String::new() }
    }
}

#[tokio::test]
async fn a_line_of_the_service_carries_the_term_the_recovery_and_the_signal_that_it_belongs_to() {
    let spans = Spans::default();
    // tracing caches what the only subscriber of a process wants; with a second one it asks each time.
    let _second = Dispatch::new(Spans::default());
    let _subscribed = tracing::subscriber::set_default(spans.clone());
    let store = FakeDatabase::new().process(&opening("spans"));
    let builder = Coordinator::builder(store.clone()).recovery(Arc::new(Service));
    let coordinator = builder.start().expect("a valid start");
    let work = coordinator.run_while_leader(async |leader: Leader| {
        tracing::info!(target: "test", "works");
        leader.epoch()
    });
    eventually("it leads", work).await.expect("it leads");
    let ledger = Ledger::new(coordinator.clone(), store, LedgerSettings::default()).expect("its own store");
    let running = ledger.clone();
    let run = tokio::spawn(async move { running.run(Some(Arc::new(Service))).await });
    ledger.submit(&signal("s-1"), &client()).await.expect("it is accepted");
    let executed = async {
        while !spans.lines.lock().expect("no panic").iter().any(|line| line.ends_with("executes")) {
            tokio::task::yield_now().await;
        }
    };
    eventually("it is executed", executed).await;
    coordinator.shutdown().await;
    eventually("the ledger ends", run).await.expect("no panic");
    let lines = spans.lines.lock().expect("no panic").clone();
    for line in [
        "recovery{purpose=Readiness}: recovers",
        "recovery{purpose=Lead}: recovers",
        "term{epoch=1}: works",
        "term{epoch=1}: signal{id=s-1}{attempt=1}: executes",
    ] {
        assert!(lines.iter().any(|seen| seen == line), "{line}: {lines:?}");
    }
}
