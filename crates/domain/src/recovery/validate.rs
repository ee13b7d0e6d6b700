//! From what the database says to what a leader may act on.

use super::fault::{RecoveryCode, RecoveryFault};
use super::portfolio::{INSTRUMENT_LEN_MAX, Portfolio, Position, PositionId, PositionStatus};
use super::raw::{RawPortfolio, RawPosition, RawTotals};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use rust_decimal::Decimal;

/// The sums may differ from the totals by one paisa, which rounding of shares of a rupee can explain.
pub const TOLERANCE: Decimal = Decimal::from_parts(1, 0, 0, false, 2);

/// How much of a stored text a finding shows, in characters.
const SHOWN_MAX: usize = 64;

/// Judges what the database says. Every row is judged, so that one repair round is enough.
///
/// [`RecoveryCode::DataCorrupt`] names the row and column of every value that cannot be;
/// [`RecoveryCode::ValidationFailed`] tells both figures and their difference. A `closed` position is
/// history: it is neither judged nor returned.
pub fn validate(raw: &RawPortfolio) -> Result<Portfolio, RecoveryFault> {
    let mut findings = Vec::new();
    let mut ids = BTreeSet::new();
    let mut positions = Vec::new();
    for (index, row) in raw.positions.iter().enumerate() {
        let mut judge = Judge { row: name(index, row), findings: &mut findings };
        if let Some(position) = judge.position(row, &mut ids) {
            positions.push(position);
        }
    }
    let totals = judge_totals(&raw.totals, &mut findings);
    let risk = sum("risk_amount", positions.iter().map(|position| position.risk_amount), &mut findings);
    let margin = sum("margin_used", positions.iter().map(|position| position.margin_used), &mut findings);

    let (Some((total_risk_amount, margin_used)), Some(risk), Some(margin), true) =
        (totals, risk, margin, findings.is_empty())
    else {
        return Err(RecoveryFault::new(RecoveryCode::DataCorrupt, findings));
    };
    compare("risk_amount", risk, "total_risk_amount", total_risk_amount, &mut findings);
    compare("margin_used", margin, "margin_used", margin_used, &mut findings);
    if findings.is_empty() {
        Ok(Portfolio { positions, total_risk_amount, margin_used })
    } else {
        Err(RecoveryFault::new(RecoveryCode::ValidationFailed, findings))
    }
}

/// How a finding names a row: by its id, or by its place when the id is missing.
fn name(index: usize, row: &RawPosition) -> String {
    match &row.position_id {
        Some(id) => format!("position {}", quoted(id)),
        None => format!("position without id (row {} as read)", index + 1),
    }
}

/// A stored text as a finding shows it: cut, quoted, and escaped, because anybody may have written it.
fn quoted(text: &str) -> String {
    let start: String = text.chars().take(SHOWN_MAX).collect();
    let rest = if start.len() < text.len() { " (cut)" } else { "" };
    format!("{start:?}{rest}")
}

/// Judges the columns of one row and keeps what it finds.
struct Judge<'a> {
    row: String,
    findings: &'a mut Vec<String>,
}

impl Judge<'_> {
    /// The position, when it is open and sound. Every column is judged even after a first finding.
    fn position(&mut self, row: &RawPosition, ids: &mut BTreeSet<PositionId>) -> Option<Position> {
        let status = match self.status(row.status.as_deref()) {
            Some(Stored::Closed) => return None,
            Some(Stored::Live(status)) => Some(status),
            None => None,
        };
        let id = self.id(row.position_id.as_deref(), ids);
        let instrument = self.instrument(row.instrument.as_deref());
        let quantity = self.decimal("quantity", row.quantity.as_deref(), Least::AboveZero);
        let entry_price = self.decimal("entry_price", row.entry_price.as_deref(), Least::AboveZero);
        let risk_amount = self.decimal("risk_amount", row.risk_amount.as_deref(), Least::Zero);
        let margin_used = self.decimal("margin_used", row.margin_used.as_deref(), Least::Zero);
        Some(Position {
            id: id?,
            instrument: instrument?,
            status: status?,
            quantity: quantity?,
            entry_price: entry_price?,
            risk_amount: risk_amount?,
            margin_used: margin_used?,
        })
    }

    fn status(&mut self, text: Option<&str>) -> Option<Stored> {
        let text = self.present("status", text)?;
        if text.eq_ignore_ascii_case("open") {
            Some(Stored::Live(PositionStatus::Open))
        } else if text.eq_ignore_ascii_case("partial") {
            Some(Stored::Live(PositionStatus::Partial))
        } else if text.eq_ignore_ascii_case("closed") {
            Some(Stored::Closed)
        } else {
            self.find("status", &format!("is {}, not open, partial or closed", quoted(text)));
            None
        }
    }

    fn id(&mut self, text: Option<&str>, ids: &mut BTreeSet<PositionId>) -> Option<PositionId> {
        let Ok(id) = PositionId::parse(self.present("position_id", text)?) else {
            self.find("position_id", "is not 1 to 128 of the characters A-Z a-z 0-9 . _ : -");
            return None;
        };
        if !ids.insert(id.clone()) {
            self.find("position_id", "occurs more than once");
            return None;
        }
        Some(id)
    }

    fn instrument(&mut self, text: Option<&str>) -> Option<String> {
        let text = self.present("instrument", text)?;
        let length = text.chars().take(INSTRUMENT_LEN_MAX + 1).count();
        if text.trim().is_empty() || length > INSTRUMENT_LEN_MAX || text.contains(char::is_control) {
            let allowed = format!("1 to {INSTRUMENT_LEN_MAX} characters without control characters");
            self.find("instrument", &format!("is {}, not {allowed}", quoted(text)));
            return None;
        }
        Some(text.to_owned())
    }

    fn decimal(&mut self, column: &str, text: Option<&str>, least: Least) -> Option<Decimal> {
        let text = self.present(column, text)?;
        let Some(value) = parse_decimal(text) else {
            self.find(column, &format!("is {}, not a decimal number of at most 28 digits", quoted(text)));
            return None;
        };
        let (enough, wanted) = match least {
            Least::Zero => (value >= Decimal::ZERO, "zero or more"),
            Least::AboveZero => (value > Decimal::ZERO, "above zero"),
        };
        if !enough {
            self.find(column, &format!("is {value}, not {wanted}"));
            return None;
        }
        Some(value)
    }

    fn present<'t>(&mut self, column: &str, text: Option<&'t str>) -> Option<&'t str> {
        if text.is_none() {
            self.find(column, "is NULL");
        }
        text
    }

    fn find(&mut self, column: &str, what: &str) {
        self.findings.push(format!("{}: {column} {what}", self.row));
    }
}

/// A status as it is stored.
enum Stored {
    Live(PositionStatus),
    Closed,
}

/// The least value of a column.
///
/// Risk and margin may be zero (a stop moved past the entry price risks nothing) but never negative: a
/// negative amount would cancel a wrong positive one in the sum and so hide both from the comparison.
#[derive(Clone, Copy)]
enum Least {
    Zero,
    AboveZero,
}

/// Digits with at most one point among them and an optional sign before them: no exponent, no NaN, no
/// blanks, and nothing that had to be rounded to fit.
fn parse_decimal(text: &str) -> Option<Decimal> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    // A column of many decimals pads with zeros, which say nothing and may exceed the digits we have.
    let padded = text.contains('.');
    let text = if padded { text.trim_end_matches('0').trim_end_matches('.') } else { text };
    Decimal::from_str_exact(text).ok()
}

/// The totals of the one portfolio row: rupees at risk, rupees of margin.
fn judge_totals(rows: &[RawTotals], findings: &mut Vec<String>) -> Option<(Decimal, Decimal)> {
    match rows {
        [] => {
            findings.push("the portfolio has no row, not exactly one".to_owned());
            None
        }
        [row] => {
            let mut judge = Judge { row: "portfolio".to_owned(), findings };
            let risk = judge.decimal("total_risk_amount", row.total_risk_amount.as_deref(), Least::Zero);
            let margin = judge.decimal("margin_used", row.margin_used.as_deref(), Least::Zero);
            risk.zip(margin)
        }
        [_, _, ..] => {
            findings.push("the portfolio has more than one row".to_owned());
            None
        }
    }
}

/// The exact sum. Amounts of very different size may need more digits than a [`Decimal`] has; its own
/// addition rounds then, so the sum is checked backwards.
fn sum(column: &str, mut of: impl Iterator<Item = Decimal>, findings: &mut Vec<String>) -> Option<Decimal> {
    let total = of.try_fold(Decimal::ZERO, |total, amount| {
        let next = total.checked_add(amount)?;
        let exact = next.checked_sub(amount)? == total && next.checked_sub(total)? == amount;
        exact.then_some(next)
    });
    if total.is_none() {
        findings.push(format!("the sum of {column} has more digits than can be kept exactly (28)"));
    }
    total
}

fn compare(column: &str, sum: Decimal, total_column: &str, total: Decimal, findings: &mut Vec<String>) {
    // Both are zero or more, so their difference cannot overflow.
    let difference = (sum - total).abs();
    if difference > TOLERANCE {
        findings.push(format!(
            "the positions' {column} sum to {sum}, the portfolio's {total_column} is {total}: they differ by \
             {difference}, more than {TOLERANCE}"
        ));
    }
}

#[cfg(test)]
mod tests;
