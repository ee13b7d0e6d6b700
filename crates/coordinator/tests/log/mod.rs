//! What a test logs: used by tests that judge log lines. While [`Subscribed`] lives, the subscriber gets the message of each
//! line of the thread that called [`subscribe`], and of the election that this thread has started.

use tracing::field::{Field, Visit};
use tracing::{Dispatch, span, subscriber};

/// Unsubscribes when it is dropped.
pub struct Subscribed(
    #[expect(dead_code, reason = "held for its drop")] (Dispatch, subscriber::DefaultGuard),
);

/// Gives `take` the message of each line whose target begins with `target`.
pub fn subscribe(target: &'static str, take: impl Fn(String) + Send + Sync + 'static) -> Subscribed {
    // While a process has one subscriber, tracing asks only the thread that reaches a line first whether any subscriber
    // wants it, and the threads of the other tests have none. With a second one it asks all.
    let second = Dispatch::new(Messages { target, take: |_| () });
    Subscribed((second, subscriber::set_default(Messages { target, take })))
}

struct Messages<F> {
    target: &'static str,
    take: F,
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl<F: Fn(String) + Send + Sync + 'static> tracing::Subscriber for Messages<F> {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target().starts_with(self.target)
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        (self.take)(message.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
