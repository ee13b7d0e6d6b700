//! Signals: what is to be done exactly once, and where each of them stands.
//!
//! ```text
//! submit ──▶ received ──claim──▶ claimed(token) ──────────▶ done | rejected
//!            ▲   │                │    │   │                ▲          ▲
//!            │   └─▶ expired      │    │   └───▶ sent ──────┘          │
//!            │                    │    │                               │
//!            ├── not executed ────┘    └─ no answer, or leader gone ──▶ in_doubt
//!            │                                                          │
//!            └──────────────── looked up, or decided by a person ───────┘
//! ```
//!
//! What the states mean for money: `received` was certainly not sent. `claimed` may have been: the claim is
//! written before the handler is called, so a crash at any later point finds it. `sent` certainly was, and its
//! result is still to come. `in_doubt` may have been, and nobody who knows is there: it is never sent again
//! blindly, and nothing later for its instrument is sent before it. The others are final.
//!
//! Each claim of a signal has a number, its *attempt*. Whatever is reported or decided about a signal names the
//! attempt that it is about, so an answer that comes late never touches a later attempt.

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
    FORGOTTEN, INSTRUCTION_LABEL_LEN_MAX, Instruction, InvalidLabel, Label, NOTE_LEN_MAX, NewSignal,
    PAYLOAD_LEN_MAX, Signal, SignalId,
};
pub use state::{Outcome, SignalState, StateName};
