//! `coordinator status --watch`. A terminal shows one picture that is redrawn in place; any other output gets one JSON
//! line for every read.

use super::Form;
use super::json::StatusJson;
use super::seen::Seen;
use super::table::{Extent, render};
use crate::command::group::Group;
use crate::command::print_json;
use crate::command::table::date;
use crate::command::terminal::Colour;
use crate::failure::Failure;
use crate::output::write;
use std::io::{IsTerminal, stdout};
use std::time::Duration;
use tokio::time::sleep;

/// Longest pause between two reads: ages grow although nothing happens.
const PERIOD: Duration = Duration::from_secs(2);
/// Shortest pause between two reads, however many hints arrive.
const PERIOD_MIN: Duration = Duration::from_millis(100);

/// Shows the status until it is interrupted. If a store does not answer, the last known state is shown as such, and
/// the store is read again.
pub async fn follow(group: &dyn Group, form: Form, extent: Extent) -> Result<(), Failure> {
    let picture = form == Form::Table && stdout().is_terminal();
    if picture {
        // Later pictures cover the earlier ones.
        write("\x1b[2J")?;
    }
    let mut before = None;
    loop {
        let seen = Seen::read(group, before.take()).await;
        if picture {
            write(redrawn(&frame(&seen, extent, Colour::of_stdout()), rows()))?;
        } else {
            print_json(&StatusJson::of(&seen))?;
        }
        before = Some(seen);
        sleep(PERIOD_MIN).await;
        // Read again after a hint or after the period.
        group.changed(PERIOD).await;
    }
}

/// The time of day, and the status.
fn frame(seen: &Seen, extent: Extent, colour: Colour) -> String {
    let (_, time) = date(seen.now_ms())
        .split_once(' ')
        .map(|(day, time)| (day.to_owned(), time.to_owned()))
        .unwrap_or_default();
    format!("{time} UTC, until Ctrl-C\n\n{}", render(seen, extent, colour))
}

/// The text over the former one: every line ends what was there before. Lines below the terminal's last row are left
/// out, because they would scroll it.
fn redrawn(text: &str, rows: usize) -> String {
    let lines: Vec<String> = text.lines().take(rows).map(|line| format!("{line}\x1b[K")).collect();
    format!("\x1b[H{}\x1b[J", lines.join("\n"))
}

/// Rows of the terminal; without an answer, of the smallest common one.
fn rows() -> usize {
    let size = rustix::termios::tcgetwinsize(stdout());
    size.ok().map(|size| usize::from(size.ws_row)).filter(|rows| *rows > 0).unwrap_or(24)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_covers_the_former_one_and_does_not_scroll() {
        assert_eq!(redrawn("a\nb\nc", 2), "\x1b[Ha\x1b[K\nb\x1b[K\x1b[J");
        assert_eq!(redrawn("a", 24), "\x1b[Ha\x1b[K\x1b[J");
    }
}
