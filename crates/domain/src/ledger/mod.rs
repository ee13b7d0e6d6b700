//! Signals: instructions that must be executed exactly once, and their states.
//!
//! ```text
//! submit ──▶ received ──claim──▶ claimed(token) ──────────▶ done | rejected
//!            ▲   │                │    │   │                ▲          ▲
//!            │   └─▶ expired      │    │   └───▶ sent ──────┘          │
//!            │                    │    │                               │
//!            ├── not executed ────┘    └─ no answer, or leader gone ──▶ in_doubt
//!            │                                                          │
//!            └──────────────── looked up, or operator resolves it ──────┘
//! ```
//!
//! Meaning of the states for money: `received` was certainly not sent. `claimed` may have been sent: the claim is
//! written before the handler is called, so it survives a crash at any later point. `sent` was certainly sent, and
//! its result is pending. `in_doubt` may have been executed: it is never sent again without a lookup or a decision,
//! and no later signal for its instrument is sent before it. The other states are final. An operator who acknowledges that a
//! signal expired makes it `rejected`, with the reason in the audit: it was certainly not sent, and the alert about it ends.
//!
//! Each claim of a signal has a number, its *attempt*. Every report or decision about a signal names its attempt, so
//! a late answer never affects a later attempt.

mod audit;
mod fingerprint;
mod handler_fence;
mod limits;
mod signal;
mod state;

pub use audit::{Actor, AuditEntry};
pub use fingerprint::Fingerprint;
pub use handler_fence::HandlerFence;
pub use limits::{LimitReached, Limits, Paused, SignalCounts, Totals};
pub use signal::{
    Dated, FORGOTTEN, FORGOTTEN_ALERT, FromHook, HOOK_NAME_LEN_MAX, HookName, INSTRUCTION_LABEL_LEN_MAX,
    Instruction, InvalidHookName, InvalidLabel, Label, NOTE_LEN_MAX, NewSignal, ORPHANED, PAYLOAD_LEN_MAX,
    Signal, SignalId, WINDOW_S_MAX,
};
pub use state::{Outcome, SignalState, StateName};
