use super::*;
use contract::Opening;
use contract::fake::FakeDatabase;
use domain::id::GroupId;
use domain::ports::{Claim, ClaimRequest, LeaseStore};

const TTL: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_mins(1);

async fn next(spans: &mut mpsc::Receiver<Span>, name: &str) -> Span {
    let named = async {
        loop {
            match spans.recv().await {
                Some(span) if span.name == name => return span,
                Some(_) => {}
                None => panic!("no {name}"),
            }
        }
    };
    timeout(PATIENCE, named).await.unwrap_or_else(|_| panic!("never: {name}"))
}

#[tokio::test]
async fn a_lease_that_another_took_before_its_end_is_superseded() {
    let group = GroupId::parse("g").expect("an id");
    let (mut opening, other) = (Opening::new(&group, "a"), Opening::new(&group, "b"));
    opening.ttl = TTL;
    let database = FakeDatabase::new();
    let store = database.process(&opening);
    let builder = Coordinator::builder(store.clone());
    let coordinator = builder.start().expect("a valid start");
    let (tell, mut spans) = mpsc::channel(8);
    let (_finish, finished) = oneshot::channel();
    tokio::spawn(Elections::new(&coordinator, store, TTL, tell).follow(finished));
    let takeover = next(&mut spans, "takeover").await;
    assert_eq!(takeover.error, None);

    // No instance may do this; a renewal in between would win.
    let store = database.process(&other);
    for attempt in 1.. {
        let observed = store.observe().await.expect("it answers").version;
        let claim = other.nonce.claim(attempt);
        let request = ClaimRequest {
            observed,
            claim,
            holder: other.id.clone(),
            ttl: TTL,
            floor: Epoch(0),
            forgotten: false,
            former: FormerTerm::Expired,
        };
        if let Claim::Granted(_) = store.claim(&request).await.expect("it answers") {
            break;
        }
    }
    let leadership = next(&mut spans, "leadership").await;
    let end = ("coordinator.end", Attribute::Text("superseded".to_owned()));
    assert!(leadership.attributes.contains(&end), "{leadership:?}");
    assert!(leadership.error.is_some() && leadership.trace == takeover.trace, "{leadership:?}");
}
