//! Cases with standbys: the store refuses a standby, and a promoted one refuses old tokens.

use crate::cases;
use crate::databases::{Databases, claim_signal, config, lead, opening, report};
use adapter_postgres::PostgresStore;
use contract::Case;
use contract::signal_ledger::{client, offer, signal};
use domain::lease::{Seq, Timeline, Token};
use domain::ledger::{Outcome, SignalState};
use domain::ports::{
    InFlight, LeaseStore, MemberStore, Migrate, Recorded, Release, Renewal, Schema, SignalClaim,
    SignalLedger, StateStore, StoreError, Submit,
};
use testkit::backend::{Postgres, free_port, native_postgres};

pub fn cases() -> Vec<Case<Databases>> {
    cases!("failover":
        a_standby_is_unavailable_and_the_next_host_is_taken,
        a_promoted_standby_refuses_tokens_until_the_row_is_carried,
        a_release_on_a_promoted_standby_does_not_appear_current,
        a_restarted_server_costs_one_answer_of_each_lane,
    )
}

async fn a_standby_is_unavailable_and_the_next_host_is_taken(_: &Databases) {
    let primary = native_postgres();
    let standby = primary.standby();
    let opening = opening("a-standby", "a");
    let alone = PostgresStore::new(config(&standby.url(), &opening)).unwrap();
    for answer in [alone.observe().await.map(|_| ()), alone.migrate(Migrate::Apply).await.map(|_| ())] {
        match answer {
            Err(StoreError::Unavailable(message)) => assert!(message.contains("is a standby"), "{message}"),
            other => panic!("{other:?}"),
        }
    }
    let three = format!("127.0.0.1:{},{},{}", free_port(), standby.address(), primary.address());
    let url = primary.url().replace(&primary.address(), &three);
    let store = PostgresStore::new(config(&(url + "?target_session_attrs=read-write"), &opening)).unwrap();
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    lead(&store, &opening).await;
}

/// Promotes the standby of a server on which a process leads and a signal waits. Returns that process's store
/// and token on the promoted server.
async fn promoted(group: &str) -> (Postgres, PostgresStore, Token) {
    let primary = native_postgres();
    let opening = opening(group, "a");
    let store = PostgresStore::new(config(&primary.url(), &opening)).unwrap();
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    let token = lead(&store, &opening).await;
    assert!(matches!(offer(&store, &signal("s-1")).await, Submit::Accepted(_)));
    let standby = primary.standby();
    standby.promote().await;
    let moved = PostgresStore::new(config(&standby.url(), &opening)).unwrap();
    (standby, moved, token)
}

async fn a_promoted_standby_refuses_tokens_until_the_row_is_carried(_: &Databases) {
    let (_server, store, old) = promoted("carried").await;
    let seen = store.observe().await.expect("observe");
    assert_eq!(seen.version.token, old, "the row came along");
    assert_eq!(store.lease().await.map(|lease| lease.forgot_ms), Ok(None), "no instance has found it yet");
    assert_eq!(store.history(1).await.expect("history")[0].timeline, old.timeline);
    assert_eq!(seen.version.current, Timeline(old.timeline.0 + 1), "a promotion begins a timeline");
    assert!(!seen.on_current_timeline());
    assert_eq!(claim_signal(&store, &old).await, Ok(SignalClaim::Fenced), "the row may be an old one");

    let carried = Token { timeline: seen.version.current, ..old };
    assert_eq!(
        claim_signal(&store, &carried).await,
        Ok(SignalClaim::Fenced),
        "no instance has carried it yet"
    );
    // Sent before the promotion, executed after it (M20).
    let late = store.renew(&old, Seq(1), old.timeline).await;
    assert_eq!(late, Ok(Renewal::OtherTimeline(carried.timeline)));
    assert_eq!(store.observe().await.expect("observe").version, seen.version, "nothing was written");
    let answer = store.renew(&old, Seq(1), carried.timeline).await;
    assert_eq!(answer, Ok(Renewal::Renewed { timeline: carried.timeline, resign: None, forgotten: true }));
    assert!(store.lease().await.expect("the lease").forgot_ms.is_some(), "the renewal noted it");
    assert_eq!(claim_signal(&store, &old).await, Ok(SignalClaim::Fenced), "that token is of the past now");
    assert_eq!(
        claim_signal(&store, &carried).await,
        Ok(SignalClaim::Empty),
        "it may have been executed by a leader whose record the failover lost"
    );
    let doubted = store.take_over(&carried, InFlight::All).await.expect("an answer").expect("not fenced");
    let [doubted] = &doubted[..] else { panic!("one signal: {doubted:?}") };
    assert_eq!(doubted.state, SignalState::InDoubt);
    let settled = store.record(&carried, &[report(doubted, Outcome::Done)]).await;
    assert_eq!(settled, Ok(Some(vec![Recorded::Recorded])));
}

async fn a_release_on_a_promoted_standby_does_not_appear_current(_: &Databases) {
    let (_server, store, old) = promoted("released").await;
    assert_eq!(store.release(&old, Seq(1), "late").await, Ok(Release::Released));
    let seen = store.observe().await.expect("observe");
    assert!(seen.released);
    assert!(!seen.on_current_timeline(), "a later claim may have been lost: everybody waits for expiry");
    let successor = opening("released", "b");
    let token = lead(&store, &successor).await;
    assert_eq!((token.timeline, token.epoch), (seen.version.current, old.epoch.next()));
}

async fn a_restarted_server_costs_one_answer_of_each_lane(_: &Databases) {
    let server = native_postgres();
    let opening = opening("restarted", "a");
    let store = PostgresStore::new(config(&server.url(), &opening)).unwrap();
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    let token = lead(&store, &opening).await;
    // Two idle sessions of each lane: after one is found dead, the other is probed.
    let polls = tokio::join!(store.observe(), store.observe(), store.counts(), store.counts());
    assert!(matches!(polls, (Ok(_), Ok(_), Ok(_), Ok(_))), "{polls:?}");
    server.kill();
    server.start();
    let lost = store.renew(&token, Seq(1), token.timeline).await;
    assert!(matches!(lost, Err(StoreError::Unknown(_))), "used a moment ago, so it was not probed: {lost:?}");
    let answer = store.renew(&token, Seq(2), token.timeline).await;
    assert!(matches!(answer, Ok(Renewal::Renewed { .. })), "one answer, not two: {answer:?}");
    let lost = store.submit_one(&signal("s-1"), &client()).await;
    assert!(matches!(lost, Err(StoreError::Unknown(_))), "{lost:?}");
    assert!(matches!(offer(&store, &signal("s-1")).await, Submit::Accepted(_)), "it never arrived");
}
