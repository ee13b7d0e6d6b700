//! The mutants: one rule of the election or of a statement taken away, each of which the check must notice. A
//! check that notices none is worth nothing; this is the test of the test.
//!
//! Rules of the stores are switched in the model's own store. Rules of the elector are text edits of a copy
//! of the `domain` crate (see `workshop`): the sources that ship contain no switch. Those of the dispatcher are in
//! `dispatcher`.

use crate::rule::Rule;

/// One rule taken away.
#[derive(Debug, Clone, Copy)]
pub struct Mutant {
    pub name: &'static str,
    /// The rule of docs/protocol.md, where it has a number.
    pub rule: &'static str,
    /// What the mutant does, in a sentence.
    pub does: &'static str,
    pub change: Change,
    /// The fault set that is to notice it.
    pub set: &'static str,
    /// With how many faults in a run.
    pub budget: u8,
}

/// How the rule is taken away.
#[derive(Debug, Clone, Copy)]
pub enum Change {
    Statement(Rule),
    Elector(&'static [Edit]),
}

/// An edit of one source file of the crate that has the rule.
#[derive(Debug, Clone, Copy)]
pub struct Edit {
    /// Below the crate's `src`.
    pub file: &'static str,
    /// An expression or whole statements; stands in the file exactly once.
    pub old: &'static str,
    pub new: New,
}

/// What an edit puts there while its mutant is switched on.
#[derive(Debug, Clone, Copy)]
pub enum New {
    Instead(&'static str),
    /// Statements after the old ones.
    Also(&'static str),
    /// The new text as it is, with [`SWITCHED`] where it asks whether the mutant is switched on.
    Text(&'static str),
}

/// See [`New::Text`].
pub const SWITCHED: &str = "SWITCHED";

const ROW: &str = "election/lease.rs";
const SIGHTING: &str = "election/reading.rs";
const ELECTOR: &str = "election/elector.rs";

const fn statement(
    name: &'static str,
    number: &'static str,
    does: &'static str,
    rule: Rule,
    (set, budget): (&'static str, u8),
) -> Mutant {
    Mutant { name, rule: number, does, change: Change::Statement(rule), set, budget }
}

const fn elector(
    name: &'static str,
    number: &'static str,
    does: &'static str,
    edits: &'static [Edit],
    (set, budget): (&'static str, u8),
) -> Mutant {
    Mutant { name, rule: number, does, change: Change::Elector(edits), set, budget }
}

pub const fn instead(file: &'static str, old: &'static str, new: &'static str) -> Edit {
    Edit { file, old, new: New::Instead(new) }
}

pub const fn also(file: &'static str, old: &'static str, new: &'static str) -> Edit {
    Edit { file, old, new: New::Also(new) }
}

/// All of them.
pub const MUTANTS: &[Mutant] = &[
    // --- the elector --------------------------------------------------------------------------------
    elector(
        "renewal-deadline-from-reply",
        "M13",
        "a renewal lets its holder believe from the reply on, not from the send",
        &[instead(ELECTOR, "sent + self.config.belief()", "now + self.config.belief()")],
        ("network", 2),
    ),
    elector(
        "claim-deadline-from-reply",
        "M13",
        "a claim lets its holder believe from the reply on, not from the send",
        &[instead(ROW, "own.sent + cx.config.belief()", "now + cx.config.belief()")],
        ("network", 2),
    ),
    elector(
        "no-margin",
        "M12",
        "no allowance for clocks that run at different rates",
        &[
            instead("election/config.rs", "self.ttl.saturating_sub(margin(self.ttl))", "self.ttl"),
            instead(SIGHTING, "ttl + margin(ttl)", "ttl"),
        ],
        ("clocks", 2),
    ),
    elector(
        "adopt-own-old-row",
        "M15",
        "a restarted process takes the row of its former life for its own",
        &[also(
            ROW,
            "self.outdated = false;\n",
            "if self.own.is_none() && self.seen().and_then(|row| row.holder.as_ref()) == Some(&cx.config.id) {
                self.own = Some(Own { claim: token.claim, sent: now, abandoned: false });
            }",
        )],
        ("processes", 2),
    ),
    elector(
        "belief-outlives-errors",
        "rule 4",
        "while the state store does not answer, the deadline is put off",
        &[
            instead(ELECTOR, "now < leadership.deadline", "now < leadership.deadline || !self.lease.answered()"),
            instead(ELECTOR, "now >= deadline", "deadline <= now && self.lease.answered()"),
            instead(
                ELECTOR,
                "[leadership, recovery, candidacy]",
                "[leadership.filter(|_| self.lease.answered()), recovery, candidacy]",
            ),
        ],
        ("network", 1),
    ),
    elector(
        "renewals-after-the-deadline",
        "M17",
        "a leader whose deadline passed goes on renewing and believes again when one succeeds",
        &[
            instead(ELECTOR, "now >= deadline", "deadline <= now && now == Time::FAR"),
            instead(
                ELECTOR,
                "[leadership, recovery, candidacy]",
                "[leadership.and(None), recovery, candidacy]",
            ),
        ],
        ("network", 1),
    ),
    elector(
        "released-on-any-timeline",
        "M10",
        "a released row is open at once, also after a promotion",
        &[instead(SIGHTING, "self.row.released && self.row.on_current_timeline()", "self.row.released")],
        ("failover", 2),
    ),
    elector(
        "age-ignores-the-store's-timeline",
        "M9",
        "a row counts as unchanged across a promotion",
        &[instead(
            SIGHTING,
            "before.row.version == row.version",
            "(before.row.version.token, before.row.version.seq) == (row.version.token, row.version.seq)",
        )],
        ("failover", 2),
    ),
    elector(
        "age-ignores-renewals",
        "M3",
        "the age of a row is counted by its epoch, whatever its write count",
        &[instead(SIGHTING, "before.row.version == row.version", "before.row.version.token == row.version.token")],
        ("network", 1),
    ),
    elector(
        "age-from-the-request",
        "M14",
        "the age of a row is counted from the request that showed it, not from the reply",
        &[instead(ROW, "self.observed(now, row, cx)", "self.observed(call.sent, row, cx)")],
        ("network", 2),
    ),
    elector(
        "short-wait-after-a-promotion",
        "M19",
        "after a promotion the row's own ttl is waited for, though a longer grant may have been lost",
        &[instead(SIGHTING, "self.row.ttl.max(config.ttl)", "self.row.ttl")],
        ("short-lease", 2),
    ),
    elector(
        "claim-at-sight",
        "expiry",
        "a row that somebody holds is claimed without waiting",
        &[instead(SIGHTING, "self.since + self.wait(config)", "self.since")],
        ("network", 1),
    ),
    elector(
        "given-up-claims-come-back",
        "expiry",
        "a claim that was let go is believed again when a look shows it",
        &[instead(
            ROW,
            "own.abandoned || now >= deadline || cx.stopping || now < cx.keep_out",
            "now >= deadline || cx.stopping",
        )],
        ("processes", 2),
    ),
    elector(
        "a-stopping-instance-leads",
        "rule 6",
        "a claim that is granted after the process was asked to stop is believed",
        &[instead(
            ROW,
            "own.abandoned || now >= deadline || cx.stopping || now < cx.keep_out",
            "own.abandoned || now >= deadline || now < cx.keep_out",
        )],
        ("processes", 2),
    ),
    elector(
        "release-before-belief-ends",
        "rule 6",
        "a handover gives the row back and only then stops believing",
        &[instead(
            ELECTOR,
            "self.let_go(Some(reason));",
            "if let Role::Leader(leadership) = &self.role { self.lease.end_term(leadership, Some(reason)); }",
        )],
        ("processes", 1),
    ),
    elector(
        "superseded-is-not-heard",
        "rule 4",
        "a leader that is told that it was superseded waits for its deadline",
        &[instead(ELECTOR, "self.lose(now, LossReason::Superseded, out),", "{}")],
        ("failover", 2),
    ),
    elector(
        "active-before-recovery",
        "rule 7",
        "a new leader acts at once",
        &[instead(ELECTOR, "Phase::Recovering { attempt: 0 }", "Phase::Active")],
        ("network", 1),
    ),
    elector(
        "halted-leaders-act",
        "rule 7",
        "a leader whose data is corrupt acts all the same",
        &[instead(ELECTOR, "leadership.phase = Phase::Halted(code);", "leadership.phase = Phase::Active;")],
        ("processes", 1),
    ),
    elector(
        "one-claim-per-process",
        "M15",
        "every claim of a process has the same uuid",
        &[instead(ELECTOR, "self.claims.wrapping_add(1)", "1")],
        ("network", 2),
    ),
    elector(
        "no-claim-without-a-ticket",
        "rule 2",
        "an open row is claimed with a ticket only, however long somebody sits on it",
        &[instead("election/ticket.rs", "Due::At(candidacy.without_ticket)", "Due::OnEvent")],
        ("stuck-tickets", 2),
    ),
    elector(
        "a-poll-puts-off-the-renewal",
        "M21",
        "every answer of the state store moves the next renewal, a read's too",
        &[also(ROW, "self.poll_at = now + cx.config.slow_poll();\n", "self.renew_at = self.poll_at;")],
        ("steady", 2),
    ),
    elector(
        "a-hint-puts-off-the-renewal",
        "M21",
        "a read that a hint causes counts as a renewal",
        &[also(ROW, "self.read = false;\n", "self.renew_at = now + cx.config.heartbeat;")],
        ("steady", 2),
    ),
    elector(
        "a-hint-goes-before-the-renewal",
        "M21",
        "a leader reads the row because of a hint although its renewal is about to fall due",
        &[instead(ROW, "at.max(now) + config.retry() > self.renew_at", "at.max(now) == Time::FAR")],
        ("steady", 2),
    ),
    elector(
        "a-hint-is-believed",
        "M21",
        "a leader takes a hint for the news that another instance leads",
        &[instead(ELECTOR, "self.lease.hinted()", "self.lose(now, LossReason::Superseded, &mut out)")],
        ("steady", 1),
    ),
    elector(
        "renewals-counted-from-the-answer",
        "stability",
        "the next renewal falls due a heartbeat after the last one's answer, not after its send",
        &[instead(ROW, "call.sent + cx.config.heartbeat", "now + cx.config.heartbeat")],
        ("steady", 2),
    ),
    elector(
        "first-renewal-counted-from-the-answer",
        "stability",
        "the first renewal falls due a heartbeat after the claim's answer, not after its send",
        &[instead(ROW, "sent_at + cx.config.heartbeat", "now + cx.config.heartbeat")],
        ("steady", 2),
    ),
    elector(
        "a-ticket-before-the-row-is-read",
        "rule 1",
        "a follower that was stopped for longer than a lease takes the ticket before it reads the row",
        &[instead(ROW, "self.answered? + cx.config.ttl", "self.answered.map(|_| Time::FAR)?")],
        ("paused-followers", 1),
    ),
    elector(
        "epoch-from-the-row-alone",
        "M22",
        "a claim's epoch is one above the row's, whatever its instance has seen",
        &[instead(ROW, "self.epochs.floor().max(reported)", "Epoch(0)")],
        ("restore", 2),
    ),
    elector(
        "an-older-row-is-claimed-as-any-other",
        "M23",
        "an instance that has seen a later row neither reports it nor notes in its claim that the store has forgotten",
        &[
            instead(ROW, "self.epochs.are_beyond(observed.token, observed.seq)", "false"),
            instead(ROW, "!cx.stopping && self.epochs.are_beyond(token, seq)", "false"),
        ],
        ("restore-again", 1),
    ),
    elector(
        "forgotten-leaders-lead-on",
        "M23",
        "a leader whose renewal finds that the store has forgotten keeps the lease",
        &[Edit { file: ELECTOR, old: "if forgotten {", new: New::Text("if forgotten && !SWITCHED {") }],
        ("restore", 2),
    ),
    // --- the statements -----------------------------------------------------------------------------
    statement(
        "claim-compares-no-seq",
        "M3",
        "a claim compares the epoch alone and beats a renewal",
        Rule::ClaimComparesSeq,
        ("network", 2),
    ),
    statement(
        "claim-compares-no-timeline",
        "M10",
        "a claim does not compare the store's present timeline",
        Rule::ClaimComparesTimeline,
        ("failover", 3),
    ),
    statement(
        "claim-compares-no-token",
        "claim",
        "a claim does not compare the row's token",
        Rule::ClaimComparesToken,
        ("network", 2),
    ),
    statement(
        "claim-keeps-the-epoch",
        "S3",
        "a claim does not raise the epoch",
        Rule::ClaimRaisesEpoch,
        ("network", 1),
    ),
    statement(
        "late-renewal-wins",
        "M2",
        "a late renewal wins over a later write",
        Rule::RenewalComparesSeq,
        ("network", 2),
    ),
    statement(
        "renewal-compares-no-timeline",
        "M20",
        "a renewal that was sent before a promotion is carried out after it",
        Rule::RenewalComparesTimeline,
        ("carry", 2),
    ),
    statement(
        "release-compares-no-claim",
        "release",
        "a late release opens a successor's row",
        Rule::ReleaseComparesClaim,
        ("processes", 2),
    ),
    statement(
        "effect-compares-the-epoch-alone",
        "M11",
        "an effect compares the epoch, which repeats after a failover that lost writes",
        Rule::EffectComparesClaim,
        ("unseen", 2),
    ),
    statement(
        "effect-on-any-timeline",
        "M10",
        "an effect is accepted under a row that a promotion brought back",
        Rule::EffectComparesTimeline,
        ("late-effects", 3),
    ),
    statement(
        "effect-after-release",
        "effect",
        "an effect is accepted after its token was released",
        Rule::EffectRefusesReleased,
        ("processes", 2),
    ),
    statement(
        "effect-on-an-older-row",
        "M23",
        "an effect is accepted under a row that is behind what was acknowledged to its sender",
        Rule::EffectComparesReached,
        ("restore", 2),
    ),
    statement(
        "renewals-note-no-older-row",
        "M23",
        "a renewal that finds the row behind what was acknowledged notes nothing",
        Rule::RenewalNotesOlderLease,
        ("restore", 2),
    ),
    statement(
        "effect-without-a-lock",
        "effect",
        "an effect checks the row and writes later, without its lock in between",
        Rule::EffectLocksLease,
        ("processes", 2),
    ),
    statement(
        "expiry-by-the-database's-clock",
        "M9",
        "a row is open when the database's clock says so",
        Rule::ExpiryIsJudgedByFollowers,
        ("clocks", 1),
    ),
    statement(
        "send-blindly-after-a-takeover",
        "effect",
        "what a former leader claimed is sent again",
        Rule::TakeOverDoubts,
        ("network", 2),
    ),
    statement(
        "ticket-per-process",
        "M18",
        "a ticket belongs to a process: its late release deletes a newer one",
        Rule::TicketIsPerClaim,
        ("late-releases", 3),
    ),
    statement(
        "anybody-releases-the-ticket",
        "M18",
        "a release deletes whatever ticket there is",
        Rule::TicketReleaseComparesClaim,
        ("tickets", 2),
    ),
];
