//! Mutants: each removes one rule of the election or of a statement, and the check must notice it. They test the
//! check itself: a check that notices no mutant proves nothing.
//!
//! Rules of the stores are switched in the model's own store. Rules of the elector are text edits of a copy of the
//! `domain` crate (see `workshop`), so the shipped sources contain no switch. The mutants of the dispatcher are in
//! `dispatcher`.

use crate::rule::Rule;

/// A mutant: one rule removed.
#[derive(Debug, Clone, Copy)]
pub struct Mutant {
    pub name: &'static str,
    /// The rule of docs/protocol.md, if it has a number.
    pub rule: &'static str,
    /// The effect of the mutant, in a sentence.
    pub does: &'static str,
    pub change: Change,
    /// The fault set that must notice it.
    pub set: &'static str,
    /// The number of faults in a run.
    pub budget: u8,
}

/// The way in which the rule is removed.
#[derive(Debug, Clone, Copy)]
pub enum Change {
    Statement(Rule),
    Elector(&'static [Edit]),
}

/// An edit of one source file of the crate that has the rule.
#[derive(Debug, Clone, Copy)]
pub struct Edit {
    /// The path below the crate's `src`.
    pub file: &'static str,
    /// An expression or whole statements; occurs exactly once in the file.
    pub old: &'static str,
    pub new: New,
}

/// The replacement while the mutant is switched on.
#[derive(Debug, Clone, Copy)]
pub enum New {
    Instead(&'static str),
    /// Statements that follow the old ones.
    Also(&'static str),
    /// The new text unchanged, with [`SWITCHED`] in place of the test whether the mutant is switched on.
    Text(&'static str),
}

/// The placeholder in [`New::Text`].
pub const SWITCHED: &str = "SWITCHED";

const LEASE: &str = "election/lease.rs";
pub const READING: &str = "election/reading.rs";
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

pub const fn elector(
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

/// The mutants of every rule but the handover to one instance.
pub const MUTANTS: &[Mutant] = &[
    // --- the elector --------------------------------------------------------------------------------
    elector(
        "renewal-deadline-from-reply",
        "M13",
        "the deadline after a renewal counts from the reply, not from the send",
        &[instead(ELECTOR, "sent + self.config.trust_window()", "now + self.config.trust_window()")],
        ("network", 2),
    ),
    elector(
        "claim-deadline-from-reply",
        "M13",
        "the deadline after a claim counts from the reply, not from the send",
        &[instead(LEASE, "own.sent + cx.config.trust_window()", "now + cx.config.trust_window()")],
        ("network", 2),
    ),
    elector(
        "no-margin",
        "M12",
        "no allowance for clocks that run at different rates",
        &[
            instead("election/config.rs", "self.ttl.saturating_sub(margin(self.ttl))", "self.ttl"),
            instead(READING, "ttl + margin(ttl)", "ttl"),
        ],
        ("clocks", 2),
    ),
    elector(
        "adopt-own-old-lease",
        "M15",
        "a restarted process takes the lease of its former run for its own",
        &[also(
            LEASE,
            "self.outdated = false;\n",
            "if self.own.is_none() && self.seen().and_then(|lease| lease.holder.as_ref()) == Some(&cx.config.id) {
                self.own = Some(Own { claim: token.claim, sent: now, abandoned: false });
            }",
        )],
        ("processes", 2),
    ),
    elector(
        "lease-outlives-errors",
        "rule 4",
        "while the state store does not answer, the deadline moves",
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
        "a leader whose deadline passed continues to renew and leads again when a renewal succeeds",
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
        "a released lease is open at once, also after a promotion",
        &[instead(READING, "self.lease.released && self.lease.on_current_timeline()", "self.lease.released")],
        ("failover", 2),
    ),
    elector(
        "age-ignores-the-store's-timeline",
        "M9",
        "a lease counts as unchanged across a promotion",
        &[instead(
            READING,
            "before.lease.version == lease.version",
            "(before.lease.version.token, before.lease.version.seq) == (lease.version.token, lease.version.seq)",
        )],
        ("failover", 2),
    ),
    elector(
        "age-ignores-renewals",
        "M3",
        "the age of a lease is counted by its epoch alone, without its write count",
        &[instead(READING, "before.lease.version == lease.version", "before.lease.version.token == lease.version.token")],
        ("network", 1),
    ),
    elector(
        "age-from-the-request",
        "M14",
        "the age of a lease is counted from the request that read it, not from the reply",
        &[instead(LEASE, "self.observed(now, lease, cx)", "self.observed(call.sent, lease, cx)")],
        ("network", 2),
    ),
    elector(
        "short-wait-after-a-promotion",
        "M19",
        "after a promotion a follower waits for the ttl of the lease, though a longer grant may have been lost",
        &[instead(READING, "self.lease.ttl.max(config.ttl)", "self.lease.ttl")],
        ("short-lease", 2),
    ),
    elector(
        "claim-without-waiting",
        "expiry",
        "a held lease is claimed without waiting",
        &[instead(READING, "self.since + self.wait(config)", "self.since")],
        ("network", 1),
    ),
    elector(
        "abandoned-claims-come-back",
        "expiry",
        "an abandoned claim becomes valid again when a read shows it",
        &[instead(
            LEASE,
            "own.abandoned || now >= deadline || cx.stopping || now < cx.keep_out",
            "now >= deadline || cx.stopping",
        )],
        ("processes", 2),
    ),
    elector(
        "a-stopping-instance-leads",
        "rule 6",
        "a claim that is granted after a request to stop becomes valid",
        &[instead(
            LEASE,
            "own.abandoned || now >= deadline || cx.stopping || now < cx.keep_out",
            "own.abandoned || now >= deadline || now < cx.keep_out",
        )],
        ("processes", 2),
    ),
    elector(
        "release-before-the-lease-ends",
        "rule 6",
        "a handover releases the lease before it stops being valid",
        &[instead(
            ELECTOR,
            "self.let_go(Some(reason));",
            "if let Role::Leader(leadership) = &self.role { self.lease.end_term(leadership, Some(reason)); }",
        )],
        ("processes", 1),
    ),
    elector(
        "superseded-is-ignored",
        "rule 4",
        "a leader that reads that it was superseded waits for its deadline",
        &[instead(ELECTOR, "self.lose(now, LossReason::Superseded, out),", "{}")],
        ("failover", 2),
    ),
    elector(
        "active-before-recovery",
        "rule 7",
        "a new leader acts before recovery",
        &[instead(ELECTOR, "Phase::Recovering { attempt: 0 }", "Phase::Active")],
        ("network", 1),
    ),
    elector(
        "halted-leaders-act",
        "rule 7",
        "a leader whose data is corrupt acts nevertheless",
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
        "an open lease is claimed only with a ticket, even if a stuck process holds it",
        &[instead("election/ticket.rs", "Due::At(candidacy.without_ticket)", "Due::OnEvent")],
        ("stuck-tickets", 2),
    ),
    elector(
        "a-poll-delays-the-renewal",
        "M21",
        "every answer of the state store moves the next renewal, a read's too",
        &[also(LEASE, "self.poll_at = now + cx.config.slow_poll();\n", "self.renew_at = self.poll_at;")],
        ("steady", 2),
    ),
    elector(
        "a-hint-delays-the-renewal",
        "M21",
        "a read that a hint causes counts as a renewal",
        &[also(LEASE, "self.read = false;\n", "self.renew_at = now + cx.config.heartbeat;")],
        ("steady", 2),
    ),
    elector(
        "a-hint-goes-before-the-renewal",
        "M21",
        "a leader reads the lease because of a hint although its renewal is about to fall due",
        &[instead(LEASE, "at.max(now) + config.retry() > self.renew_at", "at.max(now) == Time::FAR")],
        ("steady", 2),
    ),
    elector(
        "a-hint-proves-another-leader",
        "M21",
        "a leader treats a hint as proof that another instance leads",
        &[instead(ELECTOR, "self.lease.hinted()", "self.lose(now, LossReason::Superseded, &mut out)")],
        ("steady", 1),
    ),
    elector(
        "renewals-counted-from-the-answer",
        "stability",
        "the next renewal falls due a heartbeat after the last one's answer, not after its send",
        &[instead(LEASE, "call.sent + cx.config.heartbeat", "now + cx.config.heartbeat")],
        ("steady", 2),
    ),
    elector(
        "first-renewal-counted-from-the-answer",
        "stability",
        "the first renewal falls due a heartbeat after the claim's answer, not after its send",
        &[instead(LEASE, "sent_at + cx.config.heartbeat", "now + cx.config.heartbeat")],
        ("steady", 2),
    ),
    elector(
        "a-ticket-before-the-lease-is-read",
        "rule 1",
        "a follower that was paused for longer than a lease takes the ticket before it reads the lease",
        &[instead(LEASE, "self.answered? + cx.config.ttl", "self.answered.map(|_| Time::FAR)?")],
        ("paused-followers", 1),
    ),
    elector(
        "epoch-from-the-lease-alone",
        "M22",
        "a claim's epoch is one above the lease's, even if its instance has read a larger one",
        &[instead(LEASE, "self.epochs.floor().max(reported)", "Epoch(0)")],
        ("restore", 2),
    ),
    elector(
        "an-older-lease-is-claimed-without-a-note",
        "M23",
        "an instance that has read a later lease neither reports it nor notes in its claim that the store has forgotten",
        &[
            instead(LEASE, "self.epochs.are_beyond(observed.token, observed.seq)", "false"),
            instead(LEASE, "!cx.stopping && self.epochs.are_beyond(token, seq)", "false"),
        ],
        ("restore-again", 1),
    ),
    elector(
        "forgotten-leaders-continue",
        "M23",
        "a leader whose renewal finds that the store has forgotten keeps the lease",
        &[Edit { file: ELECTOR, old: "if forgotten {", new: New::Text("if forgotten && !SWITCHED {") }],
        ("restore", 2),
    ),
    elector(
        "evidence-on-any-timeline",
        "M24",
        "the lease of an ended process is open at once, also after a promotion that lost a later claim",
        &[instead(READING, "has_ended && self.lease.on_current_timeline()", "has_ended")],
        ("kills-and-failover", 2),
    ),
    elector(
        "evidence-for-any-process",
        "M24",
        "evidence about one process opens the lease of every process",
        &[instead(READING, "ended.is_some_and(|nonce| claim.is_from(nonce))", "ended.is_some()")],
        ("kills", 2),
    ),
    // --- the statements -----------------------------------------------------------------------------
    statement(
        "claim-compares-no-seq",
        "M3",
        "a claim compares the epoch alone and wins over a renewal",
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
        "a claim does not compare the token of the lease",
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
        "a late release opens a successor's lease",
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
        "an effect is accepted under a lease that a promotion brought back",
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
        "effect-on-an-older-lease",
        "M23",
        "an effect is accepted under a lease that is behind the write acknowledged to its sender",
        Rule::EffectComparesReached,
        ("restore", 2),
    ),
    statement(
        "renewals-report-no-older-lease",
        "M23",
        "a renewal that finds the lease behind the acknowledged write reports nothing",
        Rule::RenewalNotesOlderLease,
        ("restore", 2),
    ),
    statement(
        "effect-without-a-lock",
        "effect",
        "an effect checks the lease and writes later, without holding its lock",
        Rule::EffectLocksLease,
        ("processes", 2),
    ),
    statement(
        "expiry-by-the-database's-clock",
        "M9",
        "a lease is open when the database's clock says so",
        Rule::ExpiryIsJudgedByFollowers,
        ("clocks", 1),
    ),
    statement(
        "send-blindly-after-a-takeover",
        "effect",
        "a signal that a former leader claimed is sent again",
        Rule::TakeOverDoubts,
        ("network", 2),
    ),
    statement(
        "evidence-per-instance-id",
        "M24",
        "evidence about a former start of an instance opens the lease of its present one",
        Rule::EvidenceIsPerStart,
        ("kills", 2),
    ),
    statement(
        "connection-loss-is-evidence",
        "M24",
        "an instance that cannot reach the state store counts as ended",
        Rule::ConnectionLossIsNoEvidence,
        ("kills", 2),
    ),
    statement(
        "a-stopped-process-is-evidence",
        "M24",
        "an instance that is paused counts as ended",
        Rule::StoppedIsNoEvidence,
        ("kills", 2),
    ),
    statement(
        "ticket-per-process",
        "M18",
        "a ticket belongs to a process: its late release deletes a newer one",
        Rule::TicketIsPerClaim,
        ("late-releases", 3),
    ),
    statement(
        "any-claim-releases-the-ticket",
        "M18",
        "a release deletes any ticket",
        Rule::TicketReleaseComparesClaim,
        ("tickets", 2),
    ),
];
