//! Many signals, and a leader that never has peace: `cargo xtask chaos --signals`.
//!
//! A crowd of clients submits them, each to whichever instance comes to mind. Every few seconds the leader is killed,
//! stopped for longer than its lease, or cut off from its stores. Signals are handed to a service by HTTP: most
//! orders it executes at once, some meet trouble, and of a few signals its look-up never says a word.
//!
//! When all are acknowledged everything is healed. What waits is waited for; then the signals in doubt, as the
//! instances list them, must be those of which the service was asked in vain, and no other. A person settles them
//! by the command line, after a look into the service's books, until nothing is open. Then every signal must have
//! been executed exactly once, those of one client and one instrument in their order, and the audit must tell
//! every step of each.

mod crowd;
mod judge;
mod ledger;
mod person;
mod report;
mod trouble;

use crate::client::Client;
use crate::fault::{Deck, Dice, Harm, Kind, TTL, Whom};
use crate::judge::Evidence;
use crate::seat::Seat;
use crate::storm::{Ground, PATIENCE, Stop, Storm};
use crate::system::{Orders, System, Which};
use crate::{Findings, Verdict};
use crowd::{Acknowledged, Crowd};
use judge::Judgement;
use ledger::Ledger;
use person::{Doubt, Person};
use report::Report;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::broker::HttpBroker;
use testkit::process::monotonic_nanos;
use trouble::Trouble;

/// What is done to the leader.
const KINDS: [Kind; 5] = [
    Kind::Instance(Whom::Leader, Harm::Kill),
    Kind::Instance(Whom::Leader, Harm::Stop),
    Kind::Instance(Whom::Leader, Harm::CutBoth),
    Kind::Instance(Whom::Leader, Harm::CutPostgres),
    Kind::Instance(Whom::Leader, Harm::CutRedis),
];
/// How long it lasts, in milliseconds: beyond the lease in any case, and a successor begins to work meanwhile.
const LASTING_MS: (u64, u64) = (1_200, 2_600);
const _: () = assert!(Duration::from_millis(LASTING_MS.0).as_millis() > TTL.as_millis());
/// From the begin of one fault to the next, in milliseconds: one is over before the next begins.
const GAP_MS: (u64, u64) = (3_200, 4_800);
const _: () = assert!(GAP_MS.0 > LASTING_MS.1);
/// Between two looks at what is still open.
const LOOK: Duration = Duration::from_millis(200);

/// What was seen on the way.
#[derive(Default)]
pub struct Seen {
    /// From the first submission until the last acknowledgement.
    pub submitting: Duration,
    /// And until nothing was open.
    pub settling: Duration,
    /// What a person has decided about, by key and attempt.
    pub decided: BTreeSet<(String, u32)>,
    /// How many of these were executed.
    pub found_executed: usize,
    /// Lists that were compared with the service's books.
    pub lists: u32,
    /// What the lists and the books did not agree on, and what a command said that it should not.
    pub disagreements: Vec<String>,
    /// What was in the ledger when everything but the doubts was settled.
    pub before_decisions: Option<Judgement>,
}

/// The campaign.
struct Campaign<'a> {
    storm: Storm<'a>,
    crowd: Crowd,
    broker: HttpBroker,
    person: Person,
    seen: Seen,
}

/// Runs it.
///
/// # Errors
/// When somebody interrupts, or the system never begins to work.
pub fn run(ground: Ground<'_>, program: PathBuf, count: u64) -> Result<Findings, Stop> {
    let began = Instant::now();
    ground.servers.rest_standby();
    let trouble = Arc::new(Trouble::new(count));
    let broker = trouble.broker();
    let orders = Orders::Http(broker.url());
    let system = System { which: Which::Coordinator, program: program.clone(), orders };
    let seats = Seat::three(ground.servers);
    let doors: Vec<_> = seats.iter().map(Seat::address).collect();
    let person = Person::new(program, ground.servers.primary.url(), ground.directory, &doors);
    let dice = ground.dice.clone();
    let storm = Storm::gather(ground, system, seats, Client::nobody())?;
    let crowd = Crowd::start(&doors, count, &dice);
    let mut campaign = Campaign { storm, crowd, broker, person, seen: Seen::default() };
    let outcome = campaign.run(&dice);
    let Campaign { storm, crowd, broker, seen, .. } = campaign;
    let url = storm.servers.primary.url();
    let (acknowledged, refused, attempts) = crowd.end();
    let mut evidence = storm.finish(outcome)?;
    evidence.refused = refused;
    let ledger = Ledger::read(&url).map_err(Stop::Never)?;
    let judgement = judge(&mut evidence, &ledger, &acknowledged, &broker, &seen);
    let report =
        Report { count, attempts, evidence, judgement, seen, broker, trouble, wall: began.elapsed() };
    let verdict = if report.judgement.violations.is_empty() { Verdict::Holds } else { Verdict::Violated };
    Ok(Findings { table: report.table(), record: report.record(), verdict })
}

/// Everything that must hold at the end.
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
                    Some(Judgement::before_decisions(&ledger, &self.crowd.acknowledged(), &executed));
            }
            if listed.is_empty() {
                break;
            }
            self.resolve(&listed)?;
        }
        self.seen.settling = began.elapsed();
        Ok(())
    }

    /// One fault after the other, always the leader's, until every signal is acknowledged.
    fn harry(&mut self, dice: &Dice) -> Result<(), Stop> {
        let mut deck = Deck::new(&KINDS, dice.clone());
        self.storm.evidence.first_fault = monotonic_nanos();
        let mut stuck = Stuck::new();
        while !self.crowd.is_done() {
            let done = self.crowd.done();
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

    /// Waits until nothing is open but doubts, and what waits behind one, and the instances' list of doubts is what
    /// the service was asked in vain. Returns the list.
    fn quiet(&mut self) -> Result<Vec<Doubt>, Stop> {
        let mut stuck = Stuck::new();
        loop {
            self.storm.pass(LOOK)?;
            let look = self.look();
            let stuck = stuck.is(&look);
            match look {
                Ok(look) if look.open == 0 && look.names() == look.in_vain => {
                    self.seen.lists += 1;
                    return Ok(look.listed);
                }
                Ok(_) | Err(_) if !stuck => {}
                Ok(look) if look.open == 0 => {
                    self.seen.disagreements.extend(look.disagreements());
                    self.seen.decided.extend(look.in_vain);
                    return Ok(look.listed);
                }
                Ok(Look { open, .. }) => {
                    let told = format!("{open} signals are open and nothing moves for {PATIENCE:?}");
                    return Err(Stop::Never(told));
                }
                Err(told) => return Err(Stop::Never(told)),
            }
        }
    }

    fn look(&mut self) -> Result<Look, String> {
        let open = ledger::open(&self.storm.servers.primary.url())?;
        let listed = self.person.listed()?;
        let in_vain = self.broker.unanswered().difference(&self.seen.decided).cloned().collect();
        Ok(Look { open, listed, in_vain })
    }

    /// A person looks every one up in the service's books and settles it.
    fn resolve(&mut self, listed: &[Doubt]) -> Result<(), Stop> {
        self.storm.tell(&format!("{} signals in doubt are settled by the command line", listed.len()));
        for doubt in listed {
            let executed = self.broker.certify(&doubt.key, doubt.attempt);
            self.seen.found_executed += usize::from(executed);
            self.seen.decided.insert(doubt.key_and_attempt());
            if let Err(told) = self.person.resolve(doubt, executed) {
                self.seen.disagreements.push(told);
            }
            self.storm.pass(Duration::ZERO)?;
        }
        Ok(())
    }
}

/// What is open at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    /// But for doubts and what waits behind one.
    open: u64,
    /// Doubts, as the instances list them.
    listed: Vec<Doubt>,
    /// Key and attempt of those that the service was asked about in vain.
    in_vain: BTreeSet<(String, u32)>,
}

impl Look {
    fn names(&self) -> BTreeSet<(String, u32)> {
        self.listed.iter().map(Doubt::key_and_attempt).collect()
    }

    fn disagreements(&self) -> Vec<String> {
        let names = self.names();
        let told = |what, one: &(String, u32)| format!("{}, attempt {}: {what}", one.0, one.1);
        let listed = names.difference(&self.in_vain).map(|one| told("listed, and never asked about", one));
        let asked =
            self.in_vain.difference(&names).map(|one| told("asked about in vain, and not listed", one));
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
