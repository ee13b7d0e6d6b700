//! A campaign with several thousand signals, and a leader that is disturbed all the time: `cargo xtask chaos
//! --signals`.
//!
//! Several clients submit the signals, each to a random instance. Every few seconds the leader is killed,
//! stopped for longer than its lease, or cut off from its stores. The leader sends the signals to a service
//! by HTTP. The service executes most orders at once, some meet trouble, and about a few signals its lookup
//! never answers.
//!
//! When all are acknowledged, every fault is healed. The harness waits for the remaining signals. Then the
//! signals in doubt, as listed by the instances, must be exactly those about which the service did not
//! answer. The operator resolves them at the command line with the help of the service's orders, until
//! nothing is open. Then every signal must have been executed exactly once, those of one client and one
//! instrument in their order, and the audit must contain every step of each.

mod clients;
mod judge;
mod ledger;
mod operator;
mod report;
mod trouble;

use crate::client::Client;
use crate::fault::{Deck, Dice, Harm, Kind, TTL, Whom};
use crate::judge::Evidence;
use crate::seat::Seat;
use crate::storm::{Ground, PATIENCE, Stop, Storm};
use crate::system::{Orders, System, Which};
use crate::{Findings, Verdict};
use clients::{Acknowledged, Clients};
use judge::Judgement;
use ledger::Ledger;
use operator::{InDoubt, Operator};
use report::Report;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::broker::HttpBroker;
use testkit::process::monotonic_nanos;
use trouble::Trouble;

/// The faults of the leader.
const KINDS: [Kind; 5] = [
    Kind::Instance(Whom::Leader, Harm::Kill),
    Kind::Instance(Whom::Leader, Harm::Stop),
    Kind::Instance(Whom::Leader, Harm::CutBoth),
    Kind::Instance(Whom::Leader, Harm::CutPostgres),
    Kind::Instance(Whom::Leader, Harm::CutRedis),
];
/// Duration of a fault, in milliseconds: always longer than the lease, so that a successor begins to work
/// during it.
const LASTING_MS: (u64, u64) = (1_200, 2_600);
const _: () = assert!(Duration::from_millis(LASTING_MS.0).as_millis() > TTL.as_millis());
/// Time from the begin of one fault to the next, in milliseconds: one ends before the next begins.
const GAP_MS: (u64, u64) = (3_200, 4_800);
const _: () = assert!(GAP_MS.0 > LASTING_MS.1);
/// Pause between two polls of what is open.
const POLL: Duration = Duration::from_millis(200);

/// Observations during the campaign.
#[derive(Default)]
pub struct Seen {
    /// Time from the first submission until the last acknowledgement.
    pub submitting: Duration,
    /// Time from then until nothing was open.
    pub finishing: Duration,
    /// Decisions of the operator, by key and attempt.
    pub decided: BTreeSet<(String, u32)>,
    /// Number of these that were executed.
    pub found_executed: usize,
    /// Number of lists that were compared with the service's orders.
    pub lists: u32,
    /// Disagreements between the lists and the orders, and unexpected output of commands.
    pub disagreements: Vec<String>,
    /// The judgement when only signals in doubt were left.
    pub before_decisions: Option<Judgement>,
}

/// The campaign.
struct Campaign<'a> {
    storm: Storm<'a>,
    clients: Clients,
    broker: HttpBroker,
    operator: Operator,
    seen: Seen,
}

/// Runs the campaign.
///
/// # Errors
/// If the operator interrupts, or the system never begins to work.
pub fn run(ground: Ground<'_>, program: PathBuf, count: u64) -> Result<Findings, Stop> {
    let began = Instant::now();
    ground.servers.rest_standby();
    let trouble = Arc::new(Trouble::new(count));
    let broker = trouble.broker();
    let orders = Orders::Http(broker.url());
    let locks = ground.directory.join("locks");
    let system = System { which: Which::Coordinator, program: program.clone(), orders, locks };
    let seats = Seat::three(ground.servers);
    let doors: Vec<_> = seats.iter().map(Seat::address).collect();
    let operator = Operator::new(program, ground.servers.primary.url(), ground.directory, &doors);
    let dice = ground.dice.clone();
    let storm = Storm::gather(ground, system, seats, Client::idle())?;
    let clients = Clients::start(&doors, count, &dice);
    let mut campaign = Campaign { storm, clients, broker, operator, seen: Seen::default() };
    let outcome = campaign.run(&dice);
    let Campaign { storm, clients, broker, seen, .. } = campaign;
    let url = storm.servers.primary.url();
    let (acknowledged, refused, attempts) = clients.end();
    let mut evidence = storm.finish(outcome)?;
    evidence.refused = refused;
    let ledger = Ledger::read(&url).map_err(Stop::Never)?;
    let judgement = judge(&mut evidence, &ledger, &acknowledged, &broker, &seen);
    let report =
        Report { count, attempts, evidence, judgement, seen, broker, trouble, wall: began.elapsed() };
    let verdict = if report.judgement.violations.is_empty() { Verdict::Holds } else { Verdict::Violated };
    Ok(Findings { table: report.table(), record: report.record(), verdict })
}

/// Judges everything that must hold at the end.
fn judge(
    evidence: &mut Evidence,
    ledger: &Ledger,
    acknowledged: &[Vec<Acknowledged>],
    broker: &HttpBroker,
    seen: &Seen,
) -> Judgement {
    evidence.acknowledged = acknowledged.iter().flatten().map(|signal| signal.id.clone()).collect();
    for id in broker.executed() {
        *evidence.executed.entry(id).or_default() += 1;
    }
    let mut judgement = Judgement::at_the_end(ledger, acknowledged, &broker.executed());
    judgement.add(seen.before_decisions.as_ref());
    judgement.disagree(&seen.disagreements);
    judgement.violations.extend(evidence.violations());
    judgement
}

impl Campaign<'_> {
    fn run(&mut self, dice: &Dice) -> Result<(), Stop> {
        let began = Instant::now();
        self.harry(dice)?;
        self.seen.submitting = began.elapsed();
        self.storm.heal_all();
        self.storm.until("exactly one leads", Storm::one_leads)?;
        loop {
            let listed = self.quiet()?;
            if self.seen.before_decisions.is_none() {
                let ledger = Ledger::read(&self.storm.servers.primary.url()).map_err(Stop::Never)?;
                let executed = self.broker.executed();
                self.seen.before_decisions =
                    Some(Judgement::before_decisions(&ledger, &self.clients.acknowledged(), &executed));
            }
            if listed.is_empty() {
                break;
            }
            self.resolve(&listed)?;
        }
        self.seen.finishing = began.elapsed();
        Ok(())
    }

    /// Causes one fault of the leader after the other until every signal is acknowledged.
    fn harry(&mut self, dice: &Dice) -> Result<(), Stop> {
        let mut deck = Deck::new(&KINDS, dice.clone());
        self.storm.evidence.first_fault = monotonic_nanos();
        let mut stuck = Stuck::new();
        while !self.clients.is_done() {
            let done = self.clients.done();
            if stuck.is(&done) {
                return Err(Stop::Never(format!(
                    "no signal was acknowledged for {PATIENCE:?}, after {done}"
                )));
            }
            let gap = self.storm.dice.millis(GAP_MS.0, GAP_MS.1);
            let lasts = self.storm.dice.millis(LASTING_MS.0, LASTING_MS.1);
            if let Some(kind) = deck.draw(|_| true) {
                self.storm.begin(kind, lasts, &format!("{done} acknowledged,"));
            }
            self.storm.pass(gap)?;
        }
        Ok(())
    }

    /// Waits until only signals in doubt, and those that wait behind one, are open, and the instances' list
    /// of signals in doubt equals those about which the service did not answer. Returns the list.
    fn quiet(&mut self) -> Result<Vec<InDoubt>, Stop> {
        let mut stuck = Stuck::new();
        loop {
            self.storm.pass(POLL)?;
            let observed = self.observe();
            let stuck = stuck.is(&observed);
            match observed {
                Ok(observed) if observed.open == 0 && observed.names() == observed.unanswered => {
                    self.seen.lists += 1;
                    return Ok(observed.listed);
                }
                Ok(_) | Err(_) if !stuck => {}
                Ok(observed) if observed.open == 0 => {
                    self.seen.disagreements.extend(observed.disagreements());
                    self.seen.decided.extend(observed.unanswered);
                    return Ok(observed.listed);
                }
                Ok(Remaining { open, .. }) => {
                    let message = format!("{open} signals are open and nothing moves for {PATIENCE:?}");
                    return Err(Stop::Never(message));
                }
                Err(message) => return Err(Stop::Never(message)),
            }
        }
    }

    fn observe(&mut self) -> Result<Remaining, String> {
        let open = ledger::open(&self.storm.servers.primary.url())?;
        let listed = self.operator.listed()?;
        let unanswered = self.broker.unanswered().difference(&self.seen.decided).cloned().collect();
        Ok(Remaining { open, listed, unanswered })
    }

    /// The operator looks each one up in the service's orders and resolves it.
    fn resolve(&mut self, listed: &[InDoubt]) -> Result<(), Stop> {
        self.storm.print(&format!("{} signals in doubt are resolved at the command line", listed.len()));
        for doubt in listed {
            let executed = self.broker.certify(&doubt.key, doubt.attempt);
            self.seen.found_executed += usize::from(executed);
            self.seen.decided.insert(doubt.key_and_attempt());
            if let Err(message) = self.operator.resolve(doubt, executed) {
                self.seen.disagreements.push(message);
            }
            self.storm.pass(Duration::ZERO)?;
        }
        Ok(())
    }
}

/// The open signals at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Remaining {
    /// Open signals without those in doubt and those that wait behind one.
    open: u64,
    /// Signals in doubt, as listed by the instances.
    listed: Vec<InDoubt>,
    /// Key and attempt of the signals about which the service did not answer.
    unanswered: BTreeSet<(String, u32)>,
}

impl Remaining {
    fn names(&self) -> BTreeSet<(String, u32)> {
        self.listed.iter().map(InDoubt::key_and_attempt).collect()
    }

    fn disagreements(&self) -> Vec<String> {
        let names = self.names();
        let fault = |what, one: &(String, u32)| format!("{}, attempt {}: {what}", one.0, one.1);
        let listed =
            names.difference(&self.unanswered).map(|one| fault("listed, but the broker answered", one));
        let asked = self
            .unanswered
            .difference(&names)
            .map(|one| fault("not answered by the broker, and not listed", one));
        listed.chain(asked).collect()
    }
}

/// Notices when nothing changes any more.
struct Stuck<T> {
    last: Option<T>,
    since: Instant,
}

impl<T: PartialEq + Clone> Stuck<T> {
    fn new() -> Self {
        Self { last: None, since: Instant::now() }
    }

    fn is(&mut self, now: &T) -> bool {
        if self.last.as_ref() != Some(now) {
            self.last = Some(now.clone());
            self.since = Instant::now();
        }
        self.since.elapsed() > PATIENCE
    }
}
