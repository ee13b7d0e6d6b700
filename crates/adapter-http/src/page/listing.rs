//! The part of the ledger that one reader of the page has chosen, and how it is read: from memory if that is complete,
//! else from the store.

use super::seen::Seen;
use crate::backend::Backend;
use crate::pages::SignalPages;
use crate::present::PRESENT_TIME_MAX;
use domain::ledger::{AuditEntry, Signal, SignalId, StateName};
use domain::ports::ListQuery;
use tokio::time::timeout;

/// Signals on one page.
pub(crate) const PAGE_SIZE: usize = 10;

/// The reader's choice, from the query of the address. An unknown parameter is ignored: a link never fails.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Choice {
    /// Only signals in this state.
    pub(crate) state: Option<StateName>,
    /// Only signals that arrived before this one: a further page.
    pub(crate) before: Option<u64>,
    /// The signal whose audit is open.
    pub(crate) open: Option<SignalId>,
}

impl Choice {
    pub(crate) fn of(parameters: &[(String, String)]) -> Self {
        let value = |wanted: &str| {
            parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
        };
        Self {
            state: value("state").and_then(StateName::parse),
            before: value("before").and_then(|text| text.parse().ok()),
            open: value("open").and_then(|text| SignalId::parse(text).ok()),
        }
    }

    fn query(&self) -> ListQuery {
        // One more than is shown: if there is one, there is a further page.
        let limit = u32::try_from(PAGE_SIZE + 1).unwrap_or(u32::MAX);
        ListQuery { state: self.state, instrument: None, before: self.before, limit }
    }
}

/// What the reader has chosen.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Listing {
    pub(crate) choice: Choice,
    pub(crate) rows: Vec<Signal>,
    /// There are older ones.
    pub(crate) has_more: bool,
    /// The rows are the last known ones of this moment (unix milliseconds); `None` if they are current.
    pub(crate) as_of_ms: Option<i64>,
    /// The rows are only those that this instance had read before the store stopped answering.
    pub(crate) is_partial: bool,
    pub(crate) audit: Audit,
}

/// The audit of the open signal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Audit {
    /// No signal is open.
    Closed,
    Read(Box<(Signal, Vec<AuditEntry>)>),
    /// The store does not answer.
    Unread,
    /// There is no such signal.
    Absent,
}

impl Listing {
    /// Reads the choice. Queries the store only for what the memory of the instance does not have, and waits for it at
    /// most [`PRESENT_TIME_MAX`].
    pub(crate) async fn read(backend: &dyn Backend, seen: &Seen, choice: &Choice) -> Self {
        let mut listing = Self::from_memory(seen, choice);
        if seen.signals == SignalPages::Absent {
            return listing;
        }
        let is_current = listing.as_of_ms.is_none() && seen.last.signals.last().is_some();
        let is_newest = choice.state.is_none() && choice.before.is_none();
        if is_current && is_newest {
            listing.is_partial = false;
        }
        let query = choice.query();
        let rows = async {
            if !listing.is_partial {
                return None;
            }
            timeout(PRESENT_TIME_MAX, backend.signals(&query)).await.ok()?.ok()
        };
        let audit = async {
            let Some(id) = &choice.open else { return Audit::Closed };
            match timeout(PRESENT_TIME_MAX, backend.signal(id)).await {
                Ok(Ok(Some(found))) => Audit::Read(Box::new(found)),
                Ok(Ok(None)) => Audit::Absent,
                Ok(Err(_)) | Err(_) => Audit::Unread,
            }
        };
        // Both at once, so that they share one limit.
        let (rows, audit) = tokio::join!(rows, audit);
        if let Some(rows) = rows {
            listing.take(rows);
            listing.as_of_ms = None;
            listing.is_partial = false;
        }
        listing.audit = audit;
        listing
    }

    /// Whether something of it could not be read.
    pub(crate) fn has_gap(&self) -> bool {
        self.is_partial || self.audit == Audit::Unread
    }

    /// Only what the instance knows; for a reader without a choice this is all.
    pub(crate) fn from_memory(seen: &Seen, choice: &Choice) -> Self {
        let mut listing = Self {
            choice: choice.clone(),
            rows: Vec::new(),
            has_more: false,
            as_of_ms: None,
            is_partial: true,
            audit: Audit::Closed,
        };
        if seen.signals == SignalPages::Absent {
            return listing;
        }
        if let Some((_, read_ms)) = seen.last.signals.last() {
            listing.as_of_ms = seen.last.signals.current().is_none().then_some(read_ms);
        }
        if let Some((rows, is_complete)) = seen.last.select(&choice.query()) {
            listing.is_partial = !is_complete;
            listing.take(rows);
        }
        listing
    }

    fn take(&mut self, mut rows: Vec<Signal>) {
        self.has_more = rows.len() > PAGE_SIZE;
        rows.truncate(PAGE_SIZE);
        self.rows = rows;
    }
}
