//! Each state of the page is made by a real fault. Its sentence is the text that `coordinator why` prints.

use super::view::{View, is_same_but_ages, without_times};
use crate::TTL;
use crate::group::{Group, Lead, THREE};
use crate::servers::Servers;
use crate::signals::accepted;
use crate::wait::{block_on, until};
use sqlx::{Connection, Executor, PgConnection};
use testkit::broker::{Conduct, HttpBroker};
use testkit::browser::{Browser, Scheme};
use testkit::process::Signal;

/// A portfolio that can be read only while no other session holds a lock: the recovery of a leader takes as long as a
/// test wants.
const HELD_UP: &str = "\
    CREATE FUNCTION is_free() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
    BEGIN
        WHILE NOT pg_try_advisory_xact_lock_shared(7) LOOP PERFORM pg_sleep(0.02); END LOOP;
        RETURN true;
    END $$;
    CREATE VIEW positions AS SELECT * FROM portfolio_positions WHERE (SELECT is_free())";
/// A value that no arithmetic survives.
const CORRUPT: &str = "INSERT INTO portfolio_positions VALUES ('P-9', 'NIFTY', 'open', 50, 100, 'NaN', 5)";
/// Attempts at seeing a recovery that lasts: it is given up after 10 s, which a busy machine may need for a command.
const ATTEMPTS: usize = 5;

#[test]
fn each_state_has_the_sentence_of_the_command() {
    let broker = HttpBroker::with(|_| Conduct::ExecutesAndCuts, |_| false);
    let servers = Servers::start();
    let mut group = servers.group(TTL);
    group.carry_out(&["migrate"]);
    group.database.execute(HELD_UP);
    group.set("COORDINATOR_RECOVERY_POSITIONS", "positions");
    group.set("COORDINATOR_SIGNALS_HANDLER", &broker.url());
    let lead = group.start_three();
    let browser = Browser::start();
    let watcher = THREE.into_iter().find(|name| *name != lead.name).expect("a standby");
    let idle = THREE.into_iter().rfind(|name| *name != lead.name).expect("another standby");
    let view = View::open(&browser, &group.process(watcher).address());
    let leads = format!("{} has led since {{time}} (epoch {}).", lead.name, lead.epoch);

    agrees(&view, &group, &format!("{leads} Nothing is wrong."));
    for (scheme, name) in [(Scheme::Dark, "healthy-dark"), (Scheme::Light, "healthy-light")] {
        view.browser().prefer(scheme);
        view.keep(name);
    }
    signals(&mut group, &view, watcher, &leads);

    // A command reads once, so its sentence about Redis has no age.
    servers.redis.stop();
    agrees_as(
        &view,
        &group,
        &format!("{leads} Redis has not answered for {{age}}; the leader does not change."),
        |shown| shown.replace("Redis has not answered for {age};", "Redis does not answer;"),
    );
    servers.redis.start();
    settled(&view, &leads);

    group.process(idle).signal(Signal::STOP);
    agrees(&view, &group, &format!("{leads} {idle} has sent no heartbeat for {{age}}."));
    group.process(idle).signal(Signal::CONT);
    settled(&view, &leads);

    failover(&servers, &mut group, &view);
    let halted = halted(&mut group, &view);

    // A command that starts now has never known a leader.
    servers.postgres.stop();
    let away = format!(
        "PostgreSQL has not answered for {{age}}: the leader is unknown (last known: {}, epoch {}).",
        halted.name, halted.epoch
    );
    let said = "PostgreSQL does not answer: the leader is unknown.";
    agrees_as(&view, &group, &away, |_| said.to_owned());
    view.wait("parseInt(document.querySelector('#sentence .age').textContent) > 2");
    view.keep("database-away");
    servers.postgres.start();
    view.assert_no_violation();
    group.finish();
}

/// The kill switch is on; then a signal is in doubt.
fn signals(group: &mut Group, view: &View, watcher: &str, leads: &str) {
    group.carry_out(&["signals", "pause", "--reason", "the broker asked for it"]);
    agrees(view, group, &format!("The kill switch has been on since {{time}}: no signal is sent. {leads}"));
    group.carry_out(&["signals", "resume", "--reason", "the broker is back"]);
    accepted(group, watcher, "s-1", "NIFTY");
    let doubt = "1 signal is in doubt: ₹1,00,000 (1 lakh) is at risk until an operator resolves it.";
    agrees(view, group, &format!("{doubt} {leads}"));
    view.keep("in-doubt");
    group.carry_out(&["signals", "resolve", "s-1", "--executed", "--reason", "the broker has it"]);
    settled(view, leads);
}

/// The next leader finds a portfolio that it cannot trust.
fn halted(group: &mut Group, view: &View) -> Lead {
    group.database.execute(CORRUPT);
    let before = group.wait_current();
    group.step_down("the next one finds the fault");
    let halted = group.wait_lead(before.epoch);
    let wanted = format!(
        "Trading is halted: {} has led since {{time}} (epoch {}), but its crash recovery failed.",
        halted.name, halted.epoch
    );
    agrees(view, group, &wanted);
    view.keep("halted");
    halted
}

/// A leader checks the portfolio.
fn failover(servers: &Servers, group: &mut Group, view: &View) {
    for attempt in 1.. {
        let before = group.wait_current();
        group.wait_active(&before.name);
        let lock = Lock::on(servers);
        group.step_down("another one recovers");
        let next = group.wait_lead(before.epoch);
        let wanted = format!(
            "{} has held the lease since {{time}} (epoch {}) and checks the portfolio. No signal is sent until it is active.",
            next.name, next.epoch
        );
        // While the recovery is held up, neither sentence changes; when the recovery is given up, both do.
        let agreed = until("the failover is seen, or the recovery was given up", || {
            let shown = view.sentence();
            if without_times(&shown) == wanted {
                (said(group) == shown).then_some(true)
            } else {
                shown.contains("Trading is halted").then_some(false)
            }
        });
        view.keep("failover");
        drop(lock);
        // A leader whose recovery was given up checks again after 30 s.
        group.wait_active(&next.name);
        if agreed {
            return;
        }
        assert!(attempt < ATTEMPTS, "no recovery lasted long enough");
    }
}

/// Waits until the fault is over. An instance may still report an alert about it.
fn settled(view: &View, leads: &str) {
    until("the fault is over", || {
        let shown = without_times(&view.sentence());
        (shown == leads || shown == format!("{leads} Nothing is wrong.")).then_some(())
    });
}

/// Waits until the page shows this sentence and the command prints the same text.
fn agrees(view: &View, group: &Group, wanted: &str) {
    agrees_as(view, group, wanted, str::to_owned);
}

/// Waits until the page shows this sentence and the command prints what `as_said` makes of it.
fn agrees_as(view: &View, group: &Group, wanted: &str, as_said: impl Fn(&str) -> String) {
    let mut last = (String::new(), String::new());
    until(&format!("page and command say {wanted:?}"), || {
        let shown = view.sentence();
        if without_times(&shown) != wanted {
            note(&mut last, (shown, String::new()));
            return None;
        }
        let said = said(group);
        if is_same_but_ages(&as_said(&shown), &said) {
            return Some(());
        }
        note(&mut last, (shown, said));
        None
    });
}

/// Prints what differs, once: the output of a failed test shows it.
fn note(last: &mut (String, String), now: (String, String)) {
    if *last != now {
        println!("page: {:?}, command: {:?}", now.0, now.1);
        *last = now;
    }
}

/// The sentence of `coordinator why`.
fn said(group: &Group) -> String {
    group.command(&["why", "--json"]).json()["sentence"].as_str().expect("a sentence").to_owned()
}

/// A session that holds up every recovery until it is dropped.
struct Lock(Option<PgConnection>);

impl Lock {
    fn on(servers: &Servers) -> Self {
        Self(Some(block_on(async {
            let mut session = PgConnection::connect(&servers.url).await.expect("a connection");
            session.execute("SELECT pg_advisory_lock(7)").await.expect("a lock");
            session
        })))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(session) = self.0.take() {
            // A failure here ends the session as well.
            let _ = block_on(session.close());
        }
    }
}
