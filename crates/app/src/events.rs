//! `--events-json`: prints role changes as JSON lines, for checkers outside the process.

use crate::lines::Lines;
use coordinator::{Notice, NoticeKind, clock};
use domain::time::Time;
use serde::Serialize;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::oneshot;

/// One line. Times are CLOCK_MONOTONIC nanoseconds.
#[derive(Serialize)]
struct Line {
    ev: &'static str,
    t: u64,
    epoch: u64,
    /// Time at which the renewal, or the claim that was granted, was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    t0: Option<u64>,
    /// Time at which it was confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    t1: Option<u64>,
}

/// Prints every notice until `finish` is sent, and then those that are left.
pub async fn print(mut notices: Receiver<Notice>, mut finish: oneshot::Receiver<()>, output: Lines) {
    loop {
        let next = tokio::select! {
            biased;
            next = notices.recv() => next,
            _ = &mut finish => return,
        };
        match next {
            Ok(notice) => match line(&notice).map(|line| serde_json::to_string(&line)) {
                Some(Ok(text)) => output.line(text),
                Some(Err(error)) => tracing::error!("an event is not printed: {error}"),
                None => {}
            },
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "events were missed because standard output is read too slowly");
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// `None` for a kind of notice that the checkers do not know.
fn line(notice: &Notice) -> Option<Line> {
    let (ev, sent) = match notice.kind {
        NoticeKind::Ready => ("ready", None),
        NoticeKind::Lead { sent } => ("lead", Some(sent)),
        NoticeKind::Renew { sent } => ("renew", Some(sent)),
        NoticeKind::Lost => ("lost", None),
        NoticeKind::Resign => ("resign", None),
        NoticeKind::Resigned => ("resigned", None),
        _ => return None,
    };
    let nanos = |time: Time| clock::monotonic_nanos(time);
    let t = nanos(notice.at);
    Some(Line { ev, t, epoch: notice.epoch.0, t0: sent.map(nanos), t1: sent.map(|_| t) })
}
