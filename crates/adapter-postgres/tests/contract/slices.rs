//! Cases with several signals in one statement: which statement waits for which, and what is stored after an
//! error.

use crate::cases;
use crate::databases::{Databases, lead, opening, report};
use contract::signal_ledger::{client, offer, signal, signal_about};
use contract::{Case, PATIENCE};
use domain::lease::Token;
use domain::ledger::{Limits, NewSignal, Outcome};
use domain::ports::{
    CLAIM_MAX, InFlight, Migrate, Recorded, Resolution, Schema, SignalClaim, SignalLedger, StateStore,
    StoreError, Submit, Switch,
};
use sqlx::postgres::{PgConnection, PgListener};
use sqlx::{Executor, Row};
use std::time::Duration;

pub fn cases() -> Vec<Case<Databases>> {
    cases!("slices":
        slices_in_opposite_order_do_not_wait_for_each_other,
        reports_and_repetitions_in_opposite_order_do_not_wait_for_each_other,
        a_slice_that_cannot_be_stored_is_not_stored_in_part,
        what_was_stored_before_an_error_is_reported,
        a_slice_with_conflicts_is_answered_one_by_one,
        a_hint_is_given_when_something_waits_and_only_then,
        a_claim_reads_no_backlog,
        submitted_and_reported_signals_are_found_by_their_index,
        a_plan_of_the_empty_table_is_not_kept,
    )
}

const ROUNDS: usize = 10;

fn several(round: usize) -> Vec<NewSignal> {
    (0..usize::from(CLAIM_MAX)).map(|n| signal(&format!("s-{round}-{n}"))).collect()
}

/// A deadlock would end one of the two with an error.
async fn slices_in_opposite_order_do_not_wait_for_each_other(databases: &Databases) {
    let (a, b) = (databases.store(&opening("opposite", "a")), databases.store(&opening("opposite", "b")));
    assert_eq!(a.migrate(Migrate::Apply).await, Ok(Schema::Current));
    for round in 0..ROUNDS {
        let forth = several(round);
        let back: Vec<NewSignal> = forth.iter().rev().cloned().collect();
        let who = client();
        let (first, second) = tokio::join!(a.submit(&forth, &who), b.submit(&back, &who));
        let answers = [first.expect("no deadlock"), second.expect("no deadlock")];
        let mut accepted = 0;
        for answers in &answers {
            let mut last = 0;
            for answer in answers {
                match answer {
                    Submit::Accepted(signal) => {
                        assert!(signal.arrival > last, "in the order of the request");
                        last = signal.arrival;
                        accepted += 1;
                    }
                    Submit::Repeated(_) | Submit::Folded(_) => {}
                    Submit::Conflict(with) => panic!("with {with:?}"),
                }
            }
        }
        assert_eq!(accepted, forth.len());
    }
}

async fn reports_and_repetitions_in_opposite_order_do_not_wait_for_each_other(databases: &Databases) {
    let opening = opening("crossing", "a");
    let (leader, other) = (databases.store(&opening), databases.store(&opening));
    assert_eq!(leader.migrate(Migrate::Apply).await, Ok(Schema::Current));
    let token = lead(&leader, &opening).await;
    for round in 0..ROUNDS {
        let new = several(round);
        leader.submit(&new, &client()).await.expect("submit");
        let back: Vec<NewSignal> = new.iter().rev().cloned().collect();
        let who = client();
        let claim = leader.claim_signals(&token, Limits::NONE, CLAIM_MAX);
        let (claim, repeated) = tokio::join!(claim, other.submit(&back, &who));
        repeated.expect("no deadlock");
        let Ok(SignalClaim::Claimed(claimed)) = claim else { panic!("{claim:?}") };
        assert_eq!(claimed.len(), new.len());
        let reports: Vec<_> = claimed.iter().rev().map(|signal| report(signal, Outcome::Done)).collect();
        let (settled, repeated) = tokio::join!(leader.record(&token, &reports), other.submit(&new, &who));
        repeated.expect("no deadlock");
        let settled = settled.expect("no deadlock").expect("held");
        assert!(settled.iter().all(|answer| *answer == Recorded::Recorded), "{settled:?}");
    }
}

/// A signal that PostgreSQL cannot store.
fn unstorable() -> NewSignal {
    let mut new = signal("nul");
    new.instruction.payload.push('\0');
    new
}

async fn a_slice_that_cannot_be_stored_is_not_stored_in_part(databases: &Databases) {
    let store = databases.store(&opening("in-part", "a"));
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    let answer = store.submit(&[signal("s-1"), unstorable()], &client()).await;
    assert!(matches!(answer, Err(StoreError::Corrupt(_))), "{answer:?}");
    assert_eq!(store.counts().await.map(|counts| counts.received), Ok(0));
}

/// A slice that repeats a signal is stored in parts, so an error does not mean that nothing was stored.
async fn what_was_stored_before_an_error_is_reported(databases: &Databases) {
    let store = databases.store(&opening("in-parts", "a"));
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    let answer = store.submit(&[signal("s-1"), signal("s-1"), unstorable()], &client()).await;
    assert!(matches!(&answer, Err(StoreError::Unknown(hints)) if hints.contains("1 of 3")), "{answer:?}");
    assert_eq!(store.counts().await.map(|counts| counts.received), Ok(1));
}

/// As if each signal had been submitted alone, whatever the place and the number of the conflicts.
async fn a_slice_with_conflicts_is_answered_one_by_one(databases: &Databases) {
    let store = databases.store(&opening("disturbed", "a"));
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    let taken = offer(&store, &signal("taken")).await;
    let Submit::Accepted(taken) = taken else { panic!("{taken:?}") };
    for (round, disturbed) in [&[0][..], &[49], &[17], &[3, 4, 30], &[0, 48, 49]].into_iter().enumerate() {
        let mut new: Vec<NewSignal> = (0..50).map(|n| signal(&format!("s-{round}-{n}"))).collect();
        for &at in disturbed {
            new[at].id = Some(taken.id.clone());
        }
        let answers = store.submit(&new, &client()).await.expect("submit");
        let mut last = 0;
        for (n, answer) in answers.iter().enumerate() {
            match answer {
                Submit::Accepted(signal) if !disturbed.contains(&n) => {
                    assert_eq!(Some(&signal.id), new[n].id.as_ref());
                    assert!(signal.arrival > last, "in their order");
                    last = signal.arrival;
                }
                Submit::Conflict(with) if disturbed.contains(&n) => assert_eq!(with, &taken),
                other => panic!("{round}, {n}: {other:?}"),
            }
        }
        assert_eq!(answers.len(), new.len());
    }
}

async fn a_hint_is_given_when_something_waits_and_only_then(databases: &Databases) {
    let opening = opening("hinted", "a");
    let store = databases.store(&opening);
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    let token = lead(&store, &opening).await;
    let mut listener = PgListener::connect(databases.url()).await.expect("a listener");
    let channel = databases
        .until("SELECT 'coordinator_' || md5('\"public\".coordinator_lease hinted')")
        .await
        .get::<String, _>(0);
    listener.listen(&channel).await.expect("listen");
    let mut admin = databases.admin().await;
    let mut hinted = async |what: &str| {
        admin
            .execute("SELECT pg_notify('coordinator_' || md5('\"public\".coordinator_lease hinted'), 'end')")
            .await
            .expect("notify");
        let mut hints = 0;
        loop {
            let next = tokio::time::timeout(PATIENCE, listener.recv()).await.expect("the end comes");
            match next.expect("a notification").payload() {
                "end" => return (what.to_owned(), hints),
                payload => assert!(payload.starts_with("signal "), "{payload}"),
            }
            hints += 1;
        }
    };
    let mut hints = Vec::new();
    store.submit(&[signal("s-1"), signal("s-2")], &client()).await.expect("submit");
    hints.push(hinted("two new signals").await);
    offer(&store, &signal("s-1")).await;
    hints.push(hinted("a repetition").await);
    let claim = store.claim_signals(&token, Limits::NONE, 2).await;
    let Ok(SignalClaim::Claimed(claimed)) = claim else { panic!("{claim:?}") };
    hints.push(hinted("a claim").await);
    let back = [report(&claimed[0], Outcome::Received)];
    for what in ["a signal that waits again", "and is reported twice"] {
        store.record(&token, &back).await.expect("settle");
        hints.push(hinted(what).await);
    }
    store.take_over(&token, InFlight::Only(&[])).await.expect("take over");
    hints.push(hinted("a take-over").await);
    let decision = Resolution {
        id: claimed[1].id.clone(),
        attempt: 1,
        outcome: Outcome::Received,
        actor: client(),
        reason: String::new(),
    };
    store.resolve(&decision).await.expect("decide");
    hints.push(hinted("a decision to send again").await);
    for (to, what) in
        [(Switch::Pause, "a pause"), (Switch::Resume, "a resumption"), (Switch::Resume, "another")]
    {
        store.switch(to, &client(), "why").await.expect("switch");
        hints.push(hinted(what).await);
    }
    store.sweep(&token, Duration::ZERO).await.expect("sweep");
    hints.push(hinted("a sweep").await);
    let hints: Vec<usize> = hints.iter().map(|(_, hints)| *hints).collect();
    assert_eq!(hints, [1, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0], "{hints:?}");
}

/// Finished signals, and those that wait behind the first of an instrument; `$1` in all.
const BACKLOG: &str = "
    INSERT INTO coordinator_signal (group_id, id, payload, instrument, signal_type, position, timestamp_s,
        fingerprint, changed_by, changed_from, state, attempt, claimed_at, settled_at)
    SELECT 'backlog', 's-' || n, '{}', CASE WHEN n % 10 = 0 THEN 'NIFTY' ELSE 'i-' || n % 40 END, 't', 'p', 0,
           encode(sha256(n::text::bytea), 'hex'), 'x', 'x', CASE WHEN n % 10 = 0 THEN 'received' ELSE 'done' END,
           1, CASE WHEN n % 10 > 0 THEN now() - interval '2 days' END,
           CASE WHEN n % 10 > 0 THEN now() - interval '2 days' END
    FROM generate_series(1, $1) AS n;
    ANALYZE coordinator_signal";
/// Rows that a claim of 10 instruments may read in a table of 20,000: each of the 10 a few times, and a few
/// more.
const CLAIM_ROWS_MAX: i64 = 200;
/// Rows that one new or reported signal may need.
const ROWS_MAX: i64 = 5;

/// Plans of frequent statements, for the current content of the table.
struct Plans {
    store: adapter_postgres::PostgresStore,
    token: Token,
    admin: PgConnection,
}

impl Plans {
    async fn with(databases: &Databases, backlog: u32) -> Self {
        let database = databases.another().await;
        let opening = opening("backlog", "a");
        let store = database.store(&opening);
        assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
        let token = lead(&store, &opening).await;
        database.execute(&BACKLOG.replace("$1", &backlog.to_string())).await;
        let mut admin = database.admin().await;
        admin.execute("SET plan_cache_mode = force_generic_plan").await.expect("a setting");
        Self { store, token, admin }
    }

    /// The group, the token and the seq of the lease: the first arguments of a fenced statement.
    fn held(&self) -> String {
        let claim = uuid::Uuid::from_u128(self.token.claim.as_u128());
        format!("'backlog', {}, {}, '{claim}', 0", self.token.timeline.0, self.token.epoch.0)
    }

    /// Executes a statement. Returns the number of signal rows that it read according to the server, and its
    /// plan.
    async fn rows(&mut self, statement: &str, arguments: &str) -> (i64, String) {
        let explain = format!("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE asked ({arguments})");
        self.run(&format!("PREPARE asked AS {statement}")).await;
        let plan =
            sqlx::raw_sql(sqlx::AssertSqlSafe(explain)).fetch_one(&mut self.admin).await.expect("explain");
        let plan: String = plan.try_get_unchecked(0).expect("a text");
        self.run("DEALLOCATE asked").await;
        let rows = sqlx::query(
            "SELECT sum(((node->>'Actual Rows')::numeric + coalesce((node->>'Rows Removed by Filter')::numeric, 0))
                        * (node->>'Actual Loops')::numeric)::bigint
             FROM jsonb_path_query($1::jsonb, 'strict $.** ? (@.\"Relation Name\" == \"coordinator_signal\"
                                                              && @.\"Node Type\" like_regex \"Scan\")') AS node",
        )
        .bind(&plan)
        .fetch_one(&mut self.admin)
        .await
        .expect("the sum");
        (rows.get(0), plan)
    }

    async fn run(&mut self, sql: &str) {
        self.admin
            .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())))
            .await
            .expect("it is carried out");
    }
}

async fn a_claim_reads_no_backlog(databases: &Databases) {
    let mut plans = Plans::with(databases, 20_000).await;
    for n in 0..10 {
        offer(&plans.store, &signal_about(&format!("new-{n}"), &format!("new-{n}"))).await;
    }
    let arguments = format!("{}, 10, 1000, 1000, 'x', 'x', 10", plans.held());
    let (rows, plan) = plans.rows(adapter_postgres::statements::CLAIM, &arguments).await;
    assert_eq!(plans.store.counts().await.map(|counts| counts.claimed), Ok(10), "it was carried out");
    assert!(rows < CLAIM_ROWS_MAX, "{rows} rows: {plan}");
}

/// In a table that the planner reads as a whole as soon as it expects more than a few rows.
async fn submitted_and_reported_signals_are_found_by_their_index(databases: &Databases) {
    let mut plans = Plans::with(databases, 1_000).await;
    let fingerprint = "f".repeat(64);
    for (id, chosen) in [(fingerprint.as_str(), false), ("new", true)] {
        let fingerprint = if chosen { "e".repeat(64) } else { fingerprint.clone() };
        let arguments = format!(
            "'backlog', '{{{id}}}', '{{{chosen}}}', '{{{fingerprint}}}', '{{i-{chosen}}}', '{{t}}', '{{p}}', '{{1}}', \
             ARRAY['{{}}'], ARRAY[NULL::bigint], 'x', 'x', 'hint', \
             ARRAY[NULL::text], ARRAY[NULL::integer], ARRAY[NULL::boolean]"
        );
        let (rows, plan) = plans.rows(adapter_postgres::statements::SUBMIT, &arguments).await;
        assert!(rows < ROWS_MAX, "{rows} rows: {plan}");
    }
    let claim = plans.store.claim_signals(&plans.token, Limits::NONE, CLAIM_MAX).await;
    assert!(matches!(claim, Ok(SignalClaim::Claimed(_))), "{claim:?}");
    let arguments =
        format!("{}, '{{new}}', '{{1}}', '{{done}}', ARRAY[NULL], 'x', 'x', 'hint'", plans.held());
    let (rows, plan) = plans.rows(adapter_postgres::statements::RECORD, &arguments).await;
    assert!(rows < ROWS_MAX, "{rows} rows: {plan}");
    let counts = plans.store.counts().await.expect("the database is there");
    assert_eq!(counts.done, 901, "handed in, claimed and reported");
}

/// Signals that are submitted one at a time into a new table whose growth the server does not notice.
const MANY: u64 = 600;
/// A few payloads fill a page, so that the table grows as one with more rows does.
const PAYLOAD_BYTES: usize = 1_500;

/// A plan of the empty table reads all rows for each signal: on average half of `MANY`.
async fn a_plan_of_the_empty_table_is_not_kept(databases: &Databases) {
    let database = databases.another().await;
    let store = database.store(&opening("grows", "a"));
    assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
    database.execute("ALTER TABLE coordinator_signal SET (autovacuum_enabled = off)").await;
    for n in 0..MANY {
        let mut new = signal(&format!("s-{n}"));
        new.instruction.payload = format!("{{\"note\":\"{}\"}}", "x".repeat(PAYLOAD_BYTES));
        offer(&store, &new).await;
    }
    // The server counts the reads of a session once it has ended.
    store.close().await;
    let mut admin = database.admin().await;
    let others = "SELECT count(*) FROM pg_stat_activity
                  WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    while sqlx::query_scalar::<_, i64>(others).fetch_one(&mut admin).await.expect("sessions") > 0 {
        tokio::task::yield_now().await;
    }
    let rows: i64 = sqlx::query_scalar(
        "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'coordinator_signal'",
    )
    .fetch_one(&mut admin)
    .await
    .expect("statistics");
    let rows = u64::try_from(rows).expect("a count");
    assert!(rows > 0, "it is counted");
    assert!(rows < MANY * MANY / 4, "{rows} rows read for {MANY} signals");
}
