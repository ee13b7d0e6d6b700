//! Evidence of exit: what the kernel of this host states about the end of other processes, and the watch on the process
//! that holds the lease.

use async_trait::async_trait;
use domain::election::Elector;
use domain::id::{ClaimId, Nonce};
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;

/// The kernel's statements that a process has ended (M24).
///
/// A closed connection, a missed heartbeat and a stopped process are no such statement. If an implementation cannot know,
/// it does not answer: the lease then expires as usual.
#[async_trait]
pub trait Exits: Send + Sync {
    /// Returns once the process that drew `nonce` has ended, and with it every process that may act under the nonce, its
    /// children included. Otherwise it stays pending. Cancellation safe. Must not block the calling thread, which is the
    /// election's.
    async fn ended(&self, nonce: Nonce);
}

/// The wait for the end of the process that holds the lease.
pub(crate) struct Watch {
    exits: Option<Arc<dyn Exits>>,
    holder: Option<Nonce>,
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Watch {
    /// Waits for no process yet; without `exits` it never waits for one.
    pub(crate) fn new(exits: Option<Arc<dyn Exits>>) -> Self {
        Self { exits, holder: None, end: Box::pin(pending()) }
    }

    /// Waits for the process of the lease that `elector` has read last, unless the lease is released or its own.
    pub(crate) fn follow(&mut self, elector: &Elector) {
        let Some(exits) = self.exits.clone() else { return };
        let lease = elector.observed_lease().filter(|lease| !lease.released);
        let claim = lease.map(|lease| lease.version.token.claim).filter(|claim| *claim != ClaimId::NIL);
        let holder = claim.map(ClaimId::nonce).filter(|nonce| *nonce != elector.config().nonce());
        if holder == self.holder {
            return;
        }
        self.holder = holder;
        self.end = match holder {
            Some(nonce) => Box::pin(async move { exits.ended(nonce).await }),
            None => Box::pin(pending()),
        };
    }

    /// The process that has ended; once for each process that is followed. Cancellation safe.
    pub(crate) async fn ended(&mut self) -> Nonce {
        (&mut self.end).await;
        self.end = Box::pin(pending());
        match self.holder {
            Some(nonce) => nonce,
            None => pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::election::Command;
    use domain::election::{Config, Event, LeaseAnswer, TicketUse};
    use domain::id::InstanceId;
    use domain::lease::{Epoch, Observation, Seq, Timeline, Token, Version};
    use domain::time::Time;
    use futures_util::FutureExt;
    use std::time::Duration;

    /// Processes with an even nonce have ended.
    struct Even;

    #[async_trait]
    impl Exits for Even {
        async fn ended(&self, nonce: Nonce) {
            if nonce != Nonce::new(2) {
                pending::<()>().await;
            }
        }
    }

    const OWN: u128 = 1;

    fn lease_of(nonce: u128, released: bool) -> Observation {
        let claim = Nonce::new(nonce).claim(1);
        let token = Token { timeline: Timeline(1), epoch: Epoch(4), claim };
        Observation {
            version: Version { current: Timeline(1), token, seq: Seq(0) },
            released,
            successor: None,
            ttl: Duration::from_secs(10),
            holder: None,
            resign: None,
            floor: Epoch(0),
            schema: 1,
        }
    }

    /// An elector that has read this lease.
    fn elector(lease: &Observation) -> Elector {
        let id = InstanceId::parse("a").expect("an id");
        let ttl = Duration::from_secs(10);
        let config = Config::new(id, Nonce::new(OWN), ttl, TicketUse::None, 2).expect("settings in range");
        let mut elector = Elector::new(config);
        for command in elector.step(Time::from_nanos(1), Event::Wakeup) {
            if let Command::Lease { call, .. } = command {
                let answer = Ok(LeaseAnswer::Observed(lease.clone()));
                drop(elector.step(Time::from_nanos(2), Event::Lease { call, answer }));
            }
        }
        elector
    }

    #[test]
    fn the_end_of_the_holder_is_reported_once_and_nothing_else_is() {
        let mut watch = Watch::new(Some(Arc::new(Even)));
        assert_eq!(watch.ended().now_or_never(), None, "nothing was read");
        watch.follow(&elector(&lease_of(3, false)));
        assert_eq!(watch.ended().now_or_never(), None, "the holder runs");
        watch.follow(&elector(&lease_of(2, true)));
        assert_eq!(watch.ended().now_or_never(), None, "the lease is released");
        for _ in 0..2 {
            watch.follow(&elector(&lease_of(2, false)));
        }
        assert_eq!(watch.ended().now_or_never(), Some(Nonce::new(2)));
        watch.follow(&elector(&lease_of(2, false)));
        assert_eq!(watch.ended().now_or_never(), None, "once");
        watch.follow(&elector(&lease_of(OWN, false)));
        assert_eq!(watch.ended().now_or_never(), None, "its own lease");
    }
}
