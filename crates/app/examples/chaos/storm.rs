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

/// From one fault to the next, in milliseconds: one a second, so that two or three overlap.
const GAP_MS: (u64, u64) = (400, 1_400);
/// So many faults, and then everything is healed and looked at.
const CALM_EVERY: u32 = 20;
/// Handovers before the first fault.
const HANDOVERS: usize = 5;
/// After the faults have stopped, what has not happened by then never will: many times what it takes.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// The same for the naive pattern, of which nothing is expected.
const PATIENCE_NAIVE: Duration = Duration::from_secs(15);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Why a run ended early.
#[derive(Debug)]
pub enum Stop {
    /// Ctrl-C.
    Interrupted,
    /// What should have happened never did.
    Never(String),
}

/// A fault that lasts.
pub struct Active {
    pub fault: Fault,
    pub until: Instant,
    /// What ends with it.
    pub guard: Option<Guard>,
}

/// A fault and what it is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process on that seat, or its ways.
    Instance(usize, Harm),
    Redis(RedisFault),
    Postgres(PostgresFault),
}

impl Fault {
    /// Whether both are done to the same: then they are not at the same time.
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

/// What every run stands on.
pub struct Ground<'a> {
    pub servers: &'a mut Servers,
    /// Decides what the faults are like.
    pub dice: Dice,
    /// For the logs.
    pub directory: &'a Path,
    pub interrupts: &'a Interrupts,
}

impl<'a> Storm<'a> {
    /// Starts the system on its seats, and waits until it works and the client's first signals are settled.
    ///
    /// # Errors
    /// When it never does.
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

    /// Some handovers while everything is well, so many faults, and then everything is healed.
    ///
    /// # Errors
    /// When somebody interrupts, or the system does not work again after the faults have stopped.
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

    /// Everything ends. Returns what the judge needs, also when something never happened; the servers go on.
    ///
    /// # Errors
    /// When somebody interrupted.
    pub fn finish(mut self, outcome: Result<(), Stop>) -> Result<Evidence, Stop> {
        self.evidence.never = match outcome {
            Ok(()) => None,
            Err(Stop::Never(what)) => {
                self.tell(&format!("never: {what}"));
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

    /// Says what happens.
    pub fn tell(&self, what: &str) {
        let (who, since) = (self.system.which.name(), self.evidence.began.elapsed().as_secs_f64());
        eprintln!("{who:<11} {since:>8.1} s  {what}");
    }

    /// The seat of the instance that says it leads; of several, the one that said so last.
    pub fn leader(&mut self) -> Option<usize> {
        let since = self.seats.iter_mut().enumerate().map(|(at, seat)| (seat.believes_since(), at));
        since.filter(|(since, _)| since.is_some()).max().map(|(_, at)| at)
    }

    /// Starts a process on a seat.
    pub fn start(&mut self, at: usize, identity: Identity) {
        self.seats[at].start(&self.system, self.servers, identity);
    }

    // --- faults ---------------------------------------------------------------------------------------

    /// What a fault of that kind may be done to now.
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
        self.tell(&format!("{number} {}{who}, {:.1} s", kind.name(), lasts.as_secs_f64()));
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

    /// Lets time pass, in which faults end.
    ///
    /// # Errors
    /// When somebody interrupts.
    pub fn pass(&mut self, time: Duration) -> Result<(), Stop> {
        let until = Instant::now() + time;
        loop {
            let now = Instant::now();
            while let Some(at) = self.active.iter().position(|fault| fault.until <= now) {
                let over = self.active.remove(at);
                self.heal(over);
            }
            self.look_after_processes();
            let next = self.active.iter().map(|fault| fault.until).min().unwrap_or(until).min(until);
            if Instant::now() >= until {
                return Ok(());
            }
            self.interrupts.wait(next.saturating_duration_since(Instant::now()))?;
        }
    }

    /// A process that ends although nobody ended it is a finding.
    fn look_after_processes(&mut self) {
        for at in 0..self.seats.len() {
            let seat = &mut self.seats[at];
            let id = seat.id();
            let Some(status) = seat.process().and_then(testkit::process::Coordinator::exited) else {
                continue;
            };
            let starving = |active: &Active| active.fault == Fault::Instance(at, Harm::Starve);
            self.active.retain(|active| !starving(active));
            self.seats[at].vacate(&mut self.archive);
            self.tell(&format!("{id} has ended by itself: {status}"));
            self.evidence.ended_by_themselves.push(format!("{id}: {status}"));
            self.start(at, Identity::New);
        }
    }

    // --- healed times ---------------------------------------------------------------------------------

    /// Ends every fault and waits until the system works again; then a handover and a crash that nothing
    /// disturbs, and a quiet phase. The client rests but for that phase.
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
        self.look_after_processes();
        self.tell("healed");
    }

    /// The client rests, everything it submitted is settled, and exactly one leads.
    fn record(&mut self) -> Result<(), Stop> {
        self.client.rest();
        self.until("the client's last signal is acknowledged", |storm| storm.client.rests())?;
        self.until("exactly one leads", Self::one_leads)?;
        self.until("every signal is settled", |storm| {
            ask(&storm.servers.primary.url(), storm.system.which.unsettled())
                .is_ok_and(|open| open.is_empty())
        })
    }

    /// Whether one leads and acts, and no other.
    pub fn one_leads(&mut self) -> bool {
        match self.system.which {
            Which::Coordinator => self.seats.iter().filter(|seat| seat.acts()).count() == 1,
            Which::Naive => self.leader().is_some(),
        }
    }

    /// SIGTERM of the leader: its Resign and the next Lead say how long nobody led.
    fn hand_over(&mut self) -> Result<(), Stop> {
        let Some(leader) = self.leader() else { return Ok(()) };
        let process = self.seats[leader].process().expect("a seat that leads has a process");
        process.signal(Signal::TERM);
        self.until("the leader ends when it is told to", |storm| {
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

    /// `kill -9` of the leader, when nothing else is wrong.
    fn crash(&mut self) -> Result<(), Stop> {
        let Some(leader) = self.leader() else { return Ok(()) };
        self.evidence.left_alone(monotonic_nanos());
        self.seats[leader].vacate(&mut self.archive);
        self.until("a successor leads", Self::one_leads)?;
        self.evidence.disturbed(monotonic_nanos());
        self.start(leader, Identity::Same);
        Ok(())
    }

    /// Waits for something that is to happen soon, as everything is well.
    ///
    /// # Errors
    /// When it does not, or somebody interrupts.
    pub fn until(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> bool) -> Result<(), Stop> {
        let patience = match self.system.which {
            Which::Coordinator => PATIENCE,
            Which::Naive => PATIENCE_NAIVE,
        };
        let began = Instant::now();
        while !look(self) {
            if began.elapsed() > patience {
                return match self.system.which {
                    Which::Coordinator => Err(Stop::Never(format!("{what}: not within {patience:?}"))),
                    Which::Naive => {
                        self.tell(&format!("never: {what}"));
                        Ok(())
                    }
                };
            }
            self.interrupts.wait(LOOK)?;
        }
        Ok(())
    }

    /// Every way to PostgreSQL leads to the present primary.
    pub fn retarget(&self) {
        let primary = self.servers.primary.address();
        for seat in &self.seats {
            seat.retarget(&primary);
        }
        self.client.retarget(&primary);
    }

    /// The ways of a seat to these stores do that.
    pub fn set(&self, at: usize, stores: &[Store], mode: Mode) {
        for &store in stores {
            self.seats[at].set(store, mode);
        }
    }
}
