//! The contract suite of [`LeaderStore`].

use super::scene::fresh_group;
use super::{Case, LeaderStores, Opening, PATIENCE, TTL, TicketTamper, cases};
use domain::id::{ClaimId, GroupId, InstanceId};
use domain::lease::TTL_MIN;
use domain::ports::{Acquire, LeaderStore, StoreError, Ticket, TicketFault, TicketRenewal};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;
use tokio::task::JoinSet;

/// Every case of the port.
pub fn suite<A: LeaderStores>() -> Vec<Case<A>> {
    cases!("leader_store", Scene:
        a_free_ticket_is_granted_and_shown,
        a_held_ticket_is_answered_with_its_holder,
        the_same_claim_may_request_again,
        a_ticket_belongs_to_an_acquisition_not_to_a_process,
        the_ticket_of_a_void_claim_is_taken,
        of_16_concurrent_acquisitions_one_is_granted,
        only_the_holder_renews,
        a_renewal_extends_the_ticket,
        only_the_holder_releases,
        a_late_release_leaves_a_newer_ticket,
        a_ticket_expires,
        groups_have_their_own_tickets,
        a_release_hints,
        a_release_that_deletes_nothing_hints,
        a_ticket_without_expiry_is_a_fault,
        a_ticket_that_outlives_the_ttl_is_a_fault,
        a_foreign_type_is_a_fault,
        a_foreign_value_is_a_fault,
        a_faulty_ticket_is_repaired_by_its_holder,
    )
}

/// A case's group on one server.
struct Scene {
    stores: Arc<dyn LeaderStores>,
    group: GroupId,
}

impl Scene {
    fn new(case: &str, stores: Arc<impl LeaderStores>) -> Self {
        Self { stores, group: fresh_group(case) }
    }

    async fn process(&self, id: &str) -> Process {
        self.process_with_ttl(id, TTL).await
    }

    async fn process_with_ttl(&self, id: &str, ttl: Duration) -> Process {
        let opening = Opening { ttl, ..Opening::new(&self.group, id) };
        Process { store: self.stores.open(&opening).await, opening, claims: AtomicU32::new(0) }
    }

    async fn tamper(&self, what: TicketTamper) {
        self.stores.tamper(&self.group, &what).await;
    }
}

struct Process {
    store: Arc<dyn LeaderStore>,
    opening: Opening,
    claims: AtomicU32,
}

impl Process {
    fn fresh_claim(&self) -> ClaimId {
        self.opening.nonce.claim(self.claims.fetch_add(1, Relaxed) + 1)
    }

    /// Acquires the free ticket.
    async fn acquired(&self) -> ClaimId {
        let claim = self.fresh_claim();
        assert_eq!(self.store.acquire(claim, None).await, Ok(Acquire::Granted));
        claim
    }

    /// The present ticket.
    async fn ticket(&self) -> Ticket {
        self.store.inspect().await.expect("inspect").expect("there is a ticket")
    }

    /// Asserts that the ticket belongs to that claim, with a possible remaining time.
    async fn assert_holds(&self, holder: &Self, claim: ClaimId) {
        assert_is(&self.ticket().await, &holder.opening.id, claim);
    }
}

fn assert_is(ticket: &Ticket, holder: &InstanceId, claim: ClaimId) {
    assert_eq!((&ticket.holder, ticket.claim), (holder, Some(claim)));
    assert!(ticket.remaining.is_ok_and(|remaining| remaining <= TTL), "{ticket:?}");
}

fn held(answer: Result<Acquire, StoreError>) -> Ticket {
    match answer {
        Ok(Acquire::Held(ticket)) => ticket,
        other => panic!("another claim has the ticket: {other:?}"),
    }
}

async fn a_free_ticket_is_granted_and_shown(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    assert_eq!(a.store.inspect().await, Ok(None));
    let claim = a.acquired().await;
    b.assert_holds(&a, claim).await;
}

async fn a_held_ticket_is_answered_with_its_holder(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let claim = a.acquired().await;
    assert_is(&held(b.store.acquire(b.fresh_claim(), None).await), &a.opening.id, claim);
    b.assert_holds(&a, claim).await;
}

async fn the_same_claim_may_request_again(scene: Scene) {
    let a = scene.process("a").await;
    let claim = a.acquired().await;
    assert_eq!(
        a.store.acquire(claim, None).await,
        Ok(Acquire::Granted),
        "the first answer may have been lost"
    );
    a.assert_holds(&a, claim).await;
}

async fn a_ticket_belongs_to_an_acquisition_not_to_a_process(scene: Scene) {
    let a = scene.process("a").await;
    let claim = a.acquired().await;
    let second = a.fresh_claim();
    held(a.store.acquire(second, None).await);
    assert!(matches!(a.store.renew(second).await, Ok(TicketRenewal::Lost(Some(_)))));
    a.store.release(second).await.expect("release");
    a.assert_holds(&a, claim).await;
}

async fn the_ticket_of_a_void_claim_is_taken(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let over = a.acquired().await;
    held(b.store.acquire(b.fresh_claim(), Some(a.fresh_claim())).await);
    held(b.store.acquire(b.fresh_claim(), Some(ClaimId::NIL)).await);
    let claim = b.fresh_claim();
    assert_eq!(b.store.acquire(claim, Some(over)).await, Ok(Acquire::Granted));
    a.assert_holds(&b, claim).await;
    assert!(matches!(a.store.renew(over).await, Ok(TicketRenewal::Lost(Some(_)))));
}

async fn of_16_concurrent_acquisitions_one_is_granted(scene: Scene) {
    let mut processes = Vec::new();
    for n in 0..4 {
        processes.push(scene.process(&format!("p{n}")).await);
    }
    let mut asking = JoinSet::new();
    for process in processes.iter().cycle().take(16) {
        let (store, claim) = (process.store.clone(), process.fresh_claim());
        asking.spawn(async move { (claim, store.acquire(claim, None).await) });
    }
    let (granted, refused): (Vec<_>, Vec<_>) =
        asking.join_all().await.into_iter().partition(|(_, answer)| *answer == Ok(Acquire::Granted));
    assert_eq!(granted.len(), 1, "{granted:?}");
    for (_, answer) in refused {
        assert_eq!(held(answer).claim, Some(granted[0].0));
    }
}

async fn only_the_holder_renews(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    assert_eq!(
        b.store.renew(b.fresh_claim()).await,
        Ok(TicketRenewal::Lost(None)),
        "a renewal does not acquire a free ticket"
    );
    assert_eq!(b.store.inspect().await, Ok(None));
    let claim = a.acquired().await;
    match b.store.renew(b.fresh_claim()).await {
        Ok(TicketRenewal::Lost(Some(ticket))) => assert_is(&ticket, &a.opening.id, claim),
        other => panic!("it is not b's: {other:?}"),
    }
    assert_eq!(a.store.renew(claim).await, Ok(TicketRenewal::Renewed));
}

async fn a_renewal_extends_the_ticket(scene: Scene) {
    let a = scene.process("a").await;
    let claim = a.acquired().await;
    scene.tamper(TicketTamper::Expire(TTL / 2)).await;
    let before = a.ticket().await.remaining.expect("a sound ticket");
    assert!(before <= TTL / 2, "{before:?}");
    assert_eq!(a.store.renew(claim).await, Ok(TicketRenewal::Renewed));
    let after = a.ticket().await.remaining.expect("a sound ticket");
    assert!(TTL / 2 < after && after <= TTL, "{after:?}");
}

async fn only_the_holder_releases(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    b.store.release(b.fresh_claim()).await.expect("a release without a ticket is no error");
    let claim = a.acquired().await;
    b.store.release(b.fresh_claim()).await.expect("a release of another's ticket is no error");
    b.assert_holds(&a, claim).await;
    a.store.release(claim).await.expect("release");
    assert_eq!(b.store.inspect().await, Ok(None));
    a.store.release(claim).await.expect("a second release is no error");
}

async fn a_late_release_leaves_a_newer_ticket(scene: Scene) {
    let a = scene.process("a").await;
    let older = a.acquired().await;
    a.store.release(older).await.expect("release");
    let newer = a.acquired().await;
    a.store.release(older).await.expect("a late release");
    a.assert_holds(&a, newer).await;
}

async fn a_ticket_expires(scene: Scene) {
    // The ticket of b does not expire during the case.
    let (a, b) = (scene.process_with_ttl("a", TTL_MIN).await, scene.process("b").await);
    let claim = a.acquired().await;
    let gone = async {
        while b.store.inspect().await != Ok(None) {
            // Between two reads: an expired key sends no message to wait for.
            tokio::time::sleep(TTL_MIN / 20).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("a ticket without renewals expires");
    assert_eq!(a.store.renew(claim).await, Ok(TicketRenewal::Lost(None)), "an expired ticket is not renewed");
    b.acquired().await;
    assert!(matches!(a.store.renew(claim).await, Ok(TicketRenewal::Lost(Some(_)))));
}

async fn groups_have_their_own_tickets(scene: Scene) {
    let here = scene.process("a").await;
    let elsewhere =
        Scene { stores: scene.stores.clone(), group: fresh_group("neighbour") }.process("a").await;
    let claim = here.acquired().await;
    assert_eq!(elsewhere.store.inspect().await, Ok(None));
    elsewhere.acquired().await;
    here.assert_holds(&here, claim).await;
}

/// Without a hint for this long, the earlier ones count as delivered. A later hint only makes the case easier.
const QUIET: Duration = Duration::from_millis(300);
/// Interval between two releases that must wake a listener which may not be connected yet.
const NUDGE: Duration = Duration::from_millis(200);

/// Releases as `writer` until `listener` was woken, then consumes the hints in flight.
async fn listening(writer: &Process, listener: &Process) {
    let woken = async {
        while tokio::time::timeout(NUDGE, listener.store.changed()).await.is_err() {
            let claim = writer.acquired().await;
            writer.store.release(claim).await.expect("release");
        }
    };
    tokio::time::timeout(PATIENCE, woken).await.expect("a listener is woken by a release");
    while tokio::time::timeout(QUIET, listener.store.changed()).await.is_ok() {}
}

async fn assert_hinted(listener: &Process) {
    // The release came before the wait: the store must keep the hint.
    tokio::time::timeout(PATIENCE, listener.store.changed()).await.expect("a release wakes a listener");
}

async fn a_release_hints(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    listening(&a, &b).await;
    let claim = a.acquired().await;
    a.store.release(claim).await.expect("release");
    assert_hinted(&b).await;
}

async fn a_release_that_deletes_nothing_hints(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    listening(&a, &b).await;
    a.store.release(a.fresh_claim()).await.expect("release");
    assert_hinted(&b).await;
}

/// Asserts that every answer about the key reports the fault, and that no call fails or hangs.
async fn assert_fault(process: &Process, claim: Option<ClaimId>, fault: TicketFault) {
    let asked = process.fresh_claim();
    let inspected = process.ticket().await;
    let refused = held(process.store.acquire(asked, None).await);
    let Ok(TicketRenewal::Lost(Some(lost))) = process.store.renew(asked).await else {
        panic!("a renewal by another claim must answer with the ticket");
    };
    for ticket in [inspected, refused, lost] {
        assert_eq!((ticket.claim, ticket.remaining), (claim, Err(fault)));
    }
    process.store.release(asked).await.expect("a release of another's ticket is no error");
    assert_eq!(process.ticket().await.remaining, Err(fault), "the release leaves it");
}

async fn a_ticket_without_expiry_is_a_fault(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let claim = a.acquired().await;
    scene.tamper(TicketTamper::Persist).await;
    assert_fault(&b, Some(claim), TicketFault::NoExpiry).await;
}

async fn a_ticket_that_outlives_the_ttl_is_a_fault(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let claim = a.acquired().await;
    scene.tamper(TicketTamper::Expire(TTL + Duration::from_hours(1))).await;
    assert_fault(&b, Some(claim), TicketFault::TooLong).await;
}

async fn a_foreign_type_is_a_fault(scene: Scene) {
    let a = scene.process("a").await;
    scene.tamper(TicketTamper::List).await;
    assert_fault(&a, None, TicketFault::WrongType).await;
}

async fn a_foreign_value_is_a_fault(scene: Scene) {
    let a = scene.process("a").await;
    let huge = vec![b'x'; 8 * 1024 * 1024];
    let hostile: [&[u8]; 8] = [
        b"",
        b" ",
        b"another",
        b"\xff\xfe\x00\x01 binary",
        b"00000000-0000-0000-0000-00000000000g a",
        b"00000000-0000-0000-0000-000000000001",
        b"<script>alert(1)</script> \x1b[2J",
        &huge,
    ];
    for value in hostile {
        scene.tamper(TicketTamper::Text(value.to_vec(), TTL / 2)).await;
        assert_fault(&a, None, TicketFault::Malformed).await;
    }
}

async fn a_faulty_ticket_is_repaired_by_its_holder(scene: Scene) {
    let a = scene.process("a").await;
    let claim = a.acquired().await;
    scene.tamper(TicketTamper::Persist).await;
    assert_eq!(a.store.renew(claim).await, Ok(TicketRenewal::Renewed));
    a.assert_holds(&a, claim).await;
    scene.tamper(TicketTamper::Persist).await;
    assert_eq!(a.store.acquire(claim, None).await, Ok(Acquire::Granted));
    a.assert_holds(&a, claim).await;
}
