//! One run: a system on three seats, faults that overlap, and healed times in between.

use crate::client::Client;
use crate::fault::{Deck, Dice, Harm, Kind, PostgresFault, RedisFault, TTL, Whom};
use crate::interrupt::Interrupts;
use crate::judge::{Evidence, Term};
use crate::quiet::Quiet;
use crate::seat::{Archive, Identity, Seat, Store};
use crate::servers::{Servers, ask};
use crate::strike::Guard;
use crate::system::{Orders, System, Which};
use rustix::process::Signal;
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::process::monotonic_nanos;
use testkit::proxy::Mode;

/// Pause from one fault to the next, in milliseconds: about one a second, so that two or three overlap.
const GAP_MS: (u64, u64) = (400, 1_400);
/// Number of faults after which everything is healed and checked.
const CALM_EVERY: u32 = 20;
/// Handovers before the first fault.
const HANDOVERS: usize = 5;
/// Timeout after the faults have ended: many times what any condition takes.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// The same for the naive pattern, which need not recover.
const PATIENCE_NAIVE: Duration = Duration::from_secs(15);
/// Pause between two polls.
const POLL: Duration = Duration::from_millis(20);

/// The reason why a run ended early.
#[derive(Debug)]
pub enum Stop {
    /// Ctrl-C.
    Interrupted,
    /// A condition never became true.
    Never(String),
}

/// A fault that lasts.
pub struct Active {
    pub fault: Fault,
    pub until: Instant,
    /// Dropped at the end of the fault.
    pub guard: Option<Guard>,
}

/// A fault and its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process on that seat, or its proxies.
    Instance(usize, Harm),
    Redis(RedisFault),
    Postgres(PostgresFault),
}

impl Fault {
    /// Whether both have the same target: then they must not overlap.
    fn collides(self, other: Self) -> bool {
        match (self, other) {
            (Self::Instance(one, _), Self::Instance(another, _)) => one == another,
            (Self::Redis(_), Self::Redis(_)) | (Self::Postgres(_), Self::Postgres(_)) => true,
            (Self::Instance(..) | Self::Redis(_) | Self::Postgres(_), _) => false,
        }
    }
}

/// The run.
pub struct Storm<'a> {
    pub servers: &'a mut Servers,
    pub system: System,
    pub dice: Dice,
    pub seats: Vec<Seat>,
    pub archive: Archive,
    pub evidence: Evidence,
    active: Vec<Active>,
    client: Client,
    interrupts: &'a Interrupts,
}

/// What all runs share.
pub struct Ground<'a> {
    pub servers: &'a mut Servers,
    /// Decides the details of the faults.
    pub dice: Dice,
    /// Directory for the logs.
    pub directory: &'a Path,
    pub interrupts: &'a Interrupts,
}

impl<'a> Storm<'a> {
    /// Starts the system on its seats, and waits until it works and the client's first signals have outcomes.
    ///
    /// # Errors
    /// If that never happens.
    pub fn gather(
        ground: Ground<'a>,
        system: System,
        seats: Vec<Seat>,
        client: Client,
    ) -> Result<Self, Stop> {
        let Ground { servers, dice, directory, interrupts } = ground;
        let (archive, evidence) = (Archive::new(directory), Evidence::default());
        let active = Vec::new();
        let mut storm = Self { servers, system, dice, seats, archive, evidence, active, client, interrupts };
        for at in 0..storm.seats.len() {
            storm.start(at, Identity::Same);
        }
        storm.record()?;
        Ok(storm)
    }

    /// Some handovers without faults, then that number of faults, and then everything is healed.
    ///
    /// # Errors
    /// If the operator interrupts, or the system does not work again after the faults.
    pub fn rage(&mut self, faults: u32, mut deck: Deck) -> Result<(), Stop> {
        if self.system.which == Which::Coordinator {
            self.evidence.quiet = Some(Quiet::default());
            for _ in 0..HANDOVERS {
                self.hand_over()?;
            }
            self.client.go_on();
            self.quiet_phase()?;
        }
        self.evidence.first_fault = monotonic_nanos();
        self.client.go_on();
        let mut done = 0;
        while done < faults {
            let free = |kind: Kind| !self.candidates(kind).is_empty();
            if let Some(kind) = deck.draw(free) {
                done += 1;
                let lasts = kind.lasting(&mut self.dice);
                self.begin(kind, lasts, &format!("{done}/{faults}"));
            }
            let gap = self.dice.millis(GAP_MS.0, GAP_MS.1);
            self.pass(gap)?;
            if done % CALM_EVERY == 0 && done < faults && !self.active.is_empty() {
                self.calm()?;
                self.client.go_on();
            }
        }
        self.calm()?;
        if self.system.which == Which::Coordinator {
            self.client.go_on();
            self.judge_a_quiet_phase()?;
            self.record()?;
        }
        Ok(())
    }

    /// Ends the run. Returns the evidence for the judgement, also if a condition never became true. The
    /// servers keep running.
    ///
    /// # Errors
    /// If the operator interrupted.
    pub fn finish(mut self, outcome: Result<(), Stop>) -> Result<Evidence, Stop> {
        self.evidence.never = match outcome {
            Ok(()) => None,
            Err(Stop::Never(what)) => {
                self.print(&format!("never: {what}"));
                Some(what)
            }
            Err(Stop::Interrupted) => return Err(Stop::Interrupted),
        };
        self.evidence.acknowledged = self.client.acknowledged();
        self.evidence.refused = self.client.refused();
        for seat in &mut self.seats {
            seat.vacate(&mut self.archive);
        }
        let url = self.servers.primary.url();
        self.evidence.records = std::mem::take(&mut self.archive.records);
        match ask(&url, self.system.which.unsettled()) {
            Ok(unsettled) => self.evidence.unsettled = unsettled,
            Err(error) => {
                let never = format!("the ledger cannot be read at the end: {error}");
                self.evidence.never.get_or_insert(never);
            }
        }
        if self.system.which == Which::Coordinator {
            self.evidence.learn(Term::all(&url));
        }
        if let Orders::File(path) = &self.system.orders {
            let orders = std::fs::read_to_string(path).unwrap_or_default();
            for id in orders.lines().filter_map(|line| line.split(' ').next()) {
                *self.evidence.executed.entry(id.to_owned()).or_default() += 1;
            }
        }
        Ok(self.evidence)
    }

    /// Prints an event.
    pub fn print(&self, what: &str) {
        let (who, since) = (self.system.which.name(), self.evidence.began.elapsed().as_secs_f64());
        eprintln!("{who:<11} {since:>8.1} s  {what}");
    }

    /// The seat of the instance that reports that it leads; of several, the last one.
    pub fn leader(&mut self) -> Option<usize> {
        let since = self.seats.iter_mut().enumerate().map(|(at, seat)| (seat.leads_since(), at));
        since.filter(|(since, _)| since.is_some()).max().map(|(_, at)| at)
    }

    /// Starts a process on a seat.
    pub fn start(&mut self, at: usize, identity: Identity) {
        self.seats[at].start(&self.system, self.servers, identity);
    }

    // --- faults ---------------------------------------------------------------------------------------

    /// Possible targets of a fault of that kind now.
    fn candidates(&self, kind: Kind) -> Vec<Fault> {
        let all = match kind {
            Kind::Instance(_, harm) => (0..self.seats.len()).map(|at| Fault::Instance(at, harm)).collect(),
            Kind::Redis(fault) => vec![Fault::Redis(fault)],
            Kind::Postgres(fault) => vec![Fault::Postgres(fault)],
        };
        let free = |fault: &Fault| self.active.iter().all(|active| !active.fault.collides(*fault));
        all.into_iter().filter(free).collect()
    }

    /// Begins a fault of that kind.
    pub fn begin(&mut self, kind: Kind, lasts: Duration, number: &str) {
        let leader = self.leader();
        let candidates = self.candidates(kind);
        let leads = |fault: &Fault| matches!(fault, Fault::Instance(at, _) if Some(*at) == leader);
        let wanted = |fault: &Fault| match kind {
            Kind::Instance(Whom::Leader, _) => leads(fault),
            Kind::Instance(Whom::Follower, _) => !leads(fault),
            Kind::Instance(Whom::Any, _) | Kind::Redis(_) | Kind::Postgres(_) => true,
        };
        let preferred: Vec<Fault> = candidates.iter().copied().filter(wanted).collect();
        let fault = self.dice.pick(if preferred.is_empty() { &candidates } else { &preferred });
        let who = match fault {
            Fault::Instance(at, _) => format!(" ({})", self.seats[at].id()),
            Fault::Redis(_) | Fault::Postgres(_) => String::new(),
        };
        self.print(&format!("{number} {}{who}, {:.1} s", kind.name(), lasts.as_secs_f64()));
        *self.evidence.faults.entry(kind.name()).or_default() += 1;
        self.evidence.disturbed(monotonic_nanos());
        let goes = match fault {
            Fault::Instance(_, Harm::Kill) => true,
            Fault::Instance(_, Harm::Stop) => lasts > 2 * TTL,
            Fault::Instance(..) | Fault::Redis(_) | Fault::Postgres(_) => false,
        };
        if goes && leads(&fault) && self.active.is_empty() {
            self.evidence.left_alone(monotonic_nanos());
        }
        let guard = self.strike(fault);
        if !lasts.is_zero() {
            self.active.push(Active { fault, until: Instant::now() + lasts, guard });
        }
    }

    /// Waits; faults end in that time.
    ///
    /// # Errors
    /// If the operator interrupts.
    pub fn pass(&mut self, time: Duration) -> Result<(), Stop> {
        let until = Instant::now() + time;
        loop {
            let now = Instant::now();
            while let Some(at) = self.active.iter().position(|fault| fault.until <= now) {
                let over = self.active.remove(at);
                self.heal(over);
            }
            self.check_processes();
            let next = self.active.iter().map(|fault| fault.until).min().unwrap_or(until).min(until);
            if Instant::now() >= until {
                return Ok(());
            }
            self.interrupts.wait(next.saturating_duration_since(Instant::now()))?;
        }
    }

    /// A process that ends although the harness has not ended it is a finding.
    fn check_processes(&mut self) {
        for at in 0..self.seats.len() {
            let seat = &mut self.seats[at];
            let id = seat.id();
            let Some(status) = seat.process().and_then(testkit::process::Coordinator::exited) else {
                continue;
            };
            let starving = |active: &Active| active.fault == Fault::Instance(at, Harm::Starve);
            self.active.retain(|active| !starving(active));
            self.seats[at].vacate(&mut self.archive);
            self.print(&format!("{id} has ended unexpectedly: {status}"));
            self.evidence.ended_by_themselves.push(format!("{id}: {status}"));
            self.start(at, Identity::New);
        }
    }

    // --- healed times ---------------------------------------------------------------------------------

    /// Ends every fault and waits until the system works again; then a handover and a crash without any other
    /// fault, and a quiet phase. The client rests except in that phase.
    fn calm(&mut self) -> Result<(), Stop> {
        self.heal_all();
        self.record()?;
        if self.system.which == Which::Coordinator {
            self.hand_over()?;
            self.crash()?;
            self.client.go_on();
            self.quiet_phase()?;
            self.record()?;
        }
        Ok(())
    }

    /// Ends every fault.
    pub fn heal_all(&mut self) {
        for over in std::mem::take(&mut self.active) {
            self.heal(over);
        }
        self.check_processes();
        self.print("healed");
    }

    /// The client rests, all its signals have outcomes, and exactly one instance leads.
    fn record(&mut self) -> Result<(), Stop> {
        self.client.rest();
        self.until("the client's last signal is acknowledged", |storm| storm.client.rests())?;
        self.until("exactly one leads", Self::one_leads)?;
        self.until("every signal has an outcome", |storm| {
            ask(&storm.servers.primary.url(), storm.system.which.unsettled())
                .is_ok_and(|open| open.is_empty())
        })
    }

    /// Whether exactly one instance leads and acts.
    pub fn one_leads(&mut self) -> bool {
        match self.system.which {
            Which::Coordinator => self.seats.iter().filter(|seat| seat.acts()).count() == 1,
            Which::Naive => self.leader().is_some(),
        }
    }

    /// SIGTERM of the leader: its Resign and the next Lead show the time without a leader.
    fn hand_over(&mut self) -> Result<(), Stop> {
        let Some(leader) = self.leader() else { return Ok(()) };
        let process = self.seats[leader].process().expect("a seat that leads has a process");
        process.signal(Signal::TERM);
        self.until("the leader ends after SIGTERM", |storm| {
            storm.seats[leader].process().is_none_or(|process| process.exited().is_some())
        })?;
        self.seats[leader].vacate(&mut self.archive);
        self.until("a successor leads", Self::one_leads)?;
        self.start(leader, Identity::New);
        self.until("it takes part again", |storm| {
            let ready = storm.seats[leader].process().map(|process| process.get("/readyz"));
            ready.is_some_and(|answer| answer.is_ok_and(|answer| answer.status == 200))
        })
    }

    /// `kill -9` of the leader, without any other fault.
    fn crash(&mut self) -> Result<(), Stop> {
        let Some(leader) = self.leader() else { return Ok(()) };
        self.evidence.left_alone(monotonic_nanos());
        self.seats[leader].vacate(&mut self.archive);
        self.until("a successor leads", Self::one_leads)?;
        self.evidence.disturbed(monotonic_nanos());
        self.start(leader, Identity::Same);
        Ok(())
    }

    /// Waits for a condition that must become true soon, because there is no fault.
    ///
    /// # Errors
    /// If it does not, or the operator interrupts.
    pub fn until(&mut self, what: &str, mut condition: impl FnMut(&mut Self) -> bool) -> Result<(), Stop> {
        let patience = match self.system.which {
            Which::Coordinator => PATIENCE,
            Which::Naive => PATIENCE_NAIVE,
        };
        let began = Instant::now();
        while !condition(self) {
            if began.elapsed() > patience {
                return match self.system.which {
                    Which::Coordinator => Err(Stop::Never(format!("{what}: not within {patience:?}"))),
                    Which::Naive => {
                        self.print(&format!("never: {what}"));
                        Ok(())
                    }
                };
            }
            self.interrupts.wait(POLL)?;
        }
        Ok(())
    }

    /// Every proxy to PostgreSQL forwards to the current primary.
    pub fn retarget(&self) {
        let primary = self.servers.primary.address();
        for seat in &self.seats {
            seat.retarget(&primary);
        }
        self.client.retarget(&primary);
    }

    /// Sets the mode of a seat's proxies to these stores.
    pub fn set(&self, at: usize, stores: &[Store], mode: Mode) {
        for &store in stores {
            self.seats[at].set(store, mode);
        }
    }
}
