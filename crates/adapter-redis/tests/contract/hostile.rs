//! Cases with hostile keys: any client may have written the value. It is an answer, never an error, and never
//! fetched whole.

use crate::peer::{Peer, key};
use crate::server::Server;
use domain::ports::{Acquire, LeaderStore, Ticket, TicketFault, TicketRenewal};

/// Several times the memory that the process may use, if every poll fetched the value.
const HUGE: usize = 8 << 20;
const OURS: &str = "intruder 01234567-89ab-cdef-0123-456789abcdef";

pub async fn other_types_and_our_own_form_with_a_tail_are_faults() {
    let server = Server::start(&[]).await;
    let operator = server.operator().await;
    let a = Peer::new(&server.url(), "desk", "a");
    let key = key("desk");
    let tailed = format!("{OURS}{}", "x".repeat(512));
    let writes = [
        (format!("HSET {key} a b"), TicketFault::WrongType),
        (format!("ZADD {key} 1 a"), TicketFault::WrongType),
        (format!("XADD {key} * a b"), TicketFault::WrongType),
        (format!("SETBIT {key} 4096 1"), TicketFault::Malformed),
    ];
    for (write, fault) in writes {
        operator.line(&format!("DEL {key}")).await;
        operator.line(&write).await;
        assert_fault(&a, fault).await;
    }
    operator.run(&["SET", &key, &tailed, "PX", "9999"]).await;
    assert_fault(&a, TicketFault::Malformed).await;
    operator.run(&["SET", &key, OURS]).await;
    assert_fault(&a, TicketFault::NoExpiry).await;
    operator.run(&["SET", &key, OURS, "PX", "3600000"]).await;
    assert_fault(&a, TicketFault::TooLong).await;
}

pub async fn a_foreign_value_is_not_my_ticket_though_my_claim_is_in_it() {
    let server = Server::start(&[]).await;
    let operator = server.operator().await;
    let a = Peer::new(&server.url(), "desk", "a");
    let (claim, key) = (a.claim(), key("desk"));
    let forms = [
        claim.to_string(),
        format!(" {claim}"),
        format!("{claim} a"),
        format!("a b {claim}"),
        format!("a  {claim}"),
        format!("<a> {claim}"),
        format!("a {claim} "),
        format!("{} {claim}", "a".repeat(129)),
        // The first 512 bytes end in the claim.
        format!("{} {claim}{}", "a".repeat(512 - 37), "x"),
    ];
    for value in forms {
        operator.run(&["SET", &key, &value, "PX", "9999"]).await;
        let seen = held(a.acquire(claim, Some(claim)).await.expect("acquire"));
        assert_eq!((seen.claim, seen.remaining), (None, Err(TicketFault::Malformed)), "{value:?}");
        assert_eq!(a.renew(claim).await, Ok(TicketRenewal::Lost(Some(seen))), "{value:?}");
        a.release(claim).await.expect("release");
        assert_eq!(operator.text(&format!("GET {key}")).await, value, "changed");
    }
    // A value in our exact form is our ticket, whichever client wrote it.
    operator.run(&["SET", &key, &format!("a {claim}"), "PX", "9999"]).await;
    assert_eq!(a.renew(claim).await, Ok(TicketRenewal::Renewed));
}

pub async fn a_huge_value_is_never_fetched() {
    let server = Server::start(&[]).await;
    let operator = server.operator().await;
    let a = Peer::new(&server.url(), "desk", "a");
    a.inspect().await.expect("an answer");
    operator.run(&[b"SET".as_slice(), key("desk").as_bytes(), &vec![b'x'; HUGE]]).await;
    let before = operator.number("INFO stats", "total_net_output_bytes:").await;
    a.inspect().await.expect("an answer");
    held(a.acquire(a.claim(), None).await.expect("acquire"));
    a.renew(a.claim()).await.expect("an answer");
    // This includes INFO's own answers: a few kilobytes.
    let bytes = operator.number("INFO stats", "total_net_output_bytes:").await - before;
    assert!(bytes < 64 << 10, "{bytes} bytes were sent");
}

pub async fn a_superseded_ticket_is_taken_whatever_its_expiry() {
    let server = Server::start(&[]).await;
    let operator = server.operator().await;
    let (a, b) = (Peer::new(&server.url(), "desk", "a"), Peer::new(&server.url(), "desk", "b"));
    let mut over = a.take().await;
    for spoil in [format!("PERSIST {}", key("desk")), format!("PEXPIRE {} 3600000", key("desk"))] {
        operator.line(&spoil).await;
        let next = b.claim();
        assert_eq!(b.acquire(next, Some(over)).await, Ok(Acquire::Granted));
        let ticket = a.inspect().await.expect("inspect").expect("a ticket");
        assert!(ticket.remaining.is_ok(), "{ticket:?}");
        over = next;
    }
}

/// Requests the ticket in every way: the fault is reported, and the key is left unchanged.
async fn assert_fault(a: &Peer, fault: TicketFault) {
    let claim = a.claim();
    let seen = a.inspect().await.expect("inspect").expect("a value");
    assert_eq!(seen.remaining, Err(fault), "{seen:?}");
    assert_eq!(held(a.acquire(claim, None).await.expect("acquire")), seen);
    let Ok(TicketRenewal::Lost(Some(lost))) = a.renew(claim).await else { panic!("{fault}: not lost") };
    assert_eq!(lost, seen);
    a.release(claim).await.expect("release");
    assert_eq!(a.inspect().await, Ok(Some(seen)), "{fault}: changed");
}

fn held(answer: Acquire) -> Ticket {
    match answer {
        Acquire::Held(ticket) => ticket,
        Acquire::Granted => panic!("granted over another client's value"),
    }
}
