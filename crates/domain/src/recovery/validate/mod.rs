//! Validation of a portfolio, row by row. Crash recovery and `coordinator recovery check` use it. Its memory does not
//! grow with the number of rows.

use super::fault::{Findings, RecoveryCode, RecoveryFault};
use super::portfolio::{
    INSTRUMENT_LEN_MAX, POSITIONS_KEPT_MAX, Portfolio, Position, PositionId, PositionStatus,
};
use super::raw::{PortfolioRows, RawPosition, RawTotals};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use rust_decimal::Decimal;

/// Tolerance between the sums and the totals: one paisa, which the rounding of fractions of a rupee can explain.
pub const TOLERANCE: Decimal = Decimal::from_parts(1, 0, 0, false, 2);

/// Longest part of a stored text that a finding shows, in characters.
const SHOWN_MAX: usize = 64;

/// Validates rows while a store reads them; see [`PortfolioRows`]. It validates every row, so one round of repair is
/// enough.
///
/// [`RecoveryCode::DataCorrupt`] names the row and column of every impossible value;
/// [`RecoveryCode::ValidationFailed`] reports both figures and their difference. A `closed` position is history: it
/// is neither validated nor kept.
#[derive(Debug, Default)]
pub struct Judgement {
    findings: Findings,
    /// Number of position rows so far, for findings about a row without an id.
    rows: u64,
    /// Number of valid positions so far.
    sound: u64,
    /// The valid positions, up to [`POSITIONS_KEPT_MAX`].
    kept: Vec<Position>,
    /// The latest id: the next one must be greater.
    last: Option<PositionId>,
    risk: Sum,
    margin: Sum,
    totals: Totals,
}

impl PortfolioRows for Judgement {
    fn position(&mut self, row: &RawPosition) {
        self.rows += 1;
        let subject = Subject::Position { index: self.rows, id: row.position_id.as_deref() };
        let mut judge = Judge { subject, findings: &mut self.findings };
        let Some(position) = judge.position(row, &mut self.last) else { return };
        self.sound += 1;
        self.risk.add(position.risk_amount);
        self.margin.add(position.margin_used);
        if self.sound <= POSITIONS_KEPT_MAX as u64 {
            self.kept.push(position);
        } else {
            self.kept = Vec::new();
        }
    }

    fn totals(&mut self, row: &RawTotals) {
        self.totals = match self.totals {
            Totals::None => {
                let mut judge = Judge { subject: Subject::Portfolio, findings: &mut self.findings };
                let risk = judge.decimal("total_risk_amount", row.total_risk_amount.as_deref(), Least::Zero);
                let margin = judge.decimal("margin_used", row.margin_used.as_deref(), Least::Zero);
                Totals::One(risk.zip(margin))
            }
            Totals::One(_) | Totals::More => Totals::More,
        };
    }
}

impl Judgement {
    /// The result, after the last row.
    ///
    /// # Errors
    /// The reasons why the leader must not trade.
    pub fn verdict(self) -> Result<Portfolio, RecoveryFault> {
        let Self { mut findings, sound, kept, risk, margin, totals, .. } = self;
        let totals = match totals {
            Totals::One(totals) => totals,
            Totals::None => {
                findings.add(|| "the portfolio has no row, not exactly one".to_owned());
                None
            }
            Totals::More => {
                findings.add(|| "the portfolio has more than one row".to_owned());
                None
            }
        };
        let risk = risk.exact("risk_amount", &mut findings);
        let margin = margin.exact("margin_used", &mut findings);
        let (Some((total_risk_amount, margin_used)), Some(risk), Some(margin), true) =
            (totals, risk, margin, findings.is_empty())
        else {
            return Err(findings.into_fault(RecoveryCode::DataCorrupt));
        };
        compare("risk_amount", risk, "total_risk_amount", total_risk_amount, &mut findings);
        compare("margin_used", margin, "margin_used", margin_used, &mut findings);
        if !findings.is_empty() {
            return Err(findings.into_fault(RecoveryCode::ValidationFailed));
        }
        let positions = (sound <= POSITIONS_KEPT_MAX as u64).then_some(kept);
        Ok(Portfolio { count: sound, positions, total_risk_amount, margin_used })
    }
}

/// The portfolio rows so far.
#[derive(Debug, Default)]
enum Totals {
    #[default]
    None,
    /// Rupees at risk and rupees of margin; `None` if a value of the row is impossible.
    One(Option<(Decimal, Decimal)>),
    More,
}

/// The row that a finding is about.
enum Subject<'a> {
    Position { index: u64, id: Option<&'a str> },
    Portfolio,
}

impl Subject<'_> {
    /// The name of a position: its id, or its place if the id is missing.
    fn name(&self) -> String {
        match self {
            Self::Position { id: Some(id), .. } => format!("position {}", quoted(id)),
            Self::Position { index, id: None } => format!("position without id (row {index} as read)"),
            Self::Portfolio => "portfolio".to_owned(),
        }
    }
}

/// A stored text as a finding shows it: cut, quoted and escaped, because any client may have written it.
fn quoted(text: &str) -> String {
    let start: String = text.chars().take(SHOWN_MAX).collect();
    let rest = if start.len() < text.len() { " (cut)" } else { "" };
    format!("{start:?}{rest}")
}

/// Validates the columns of one row and keeps the findings.
struct Judge<'a> {
    subject: Subject<'a>,
    findings: &'a mut Findings,
}

impl Judge<'_> {
    /// The position, if it is open and valid. Every column is validated, even after a first finding.
    fn position(&mut self, row: &RawPosition, last: &mut Option<PositionId>) -> Option<Position> {
        let status = match self.status(row.status.as_deref()) {
            Some(Stored::Closed) => return None,
            Some(Stored::Live(status)) => Some(status),
            None => None,
        };
        let id = self.id(row.position_id.as_deref(), last);
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
            self.find("status", || format!("is {}, not open, partial or closed", quoted(text)));
            None
        }
    }

    /// The id, if it is the next one in order. Rows come ordered by id, so a comparison with the previous id finds
    /// duplicates.
    fn id(&mut self, text: Option<&str>, last: &mut Option<PositionId>) -> Option<PositionId> {
        let Ok(id) = PositionId::parse(self.present("position_id", text)?) else {
            self.find("position_id", || "is not 1 to 128 of the characters A-Z a-z 0-9 . _ : -".to_owned());
            return None;
        };
        match last.as_ref().map(|last| last.cmp(&id)) {
            None | Some(Ordering::Less) => {
                *last = Some(id.clone());
                Some(id)
            }
            Some(Ordering::Equal) => {
                self.find("position_id", || "occurs more than once".to_owned());
                None
            }
            Some(Ordering::Greater) => {
                self.find("position_id", || {
                    "was not read in its order, so a repetition could hide".to_owned()
                });
                None
            }
        }
    }

    fn instrument(&mut self, text: Option<&str>) -> Option<String> {
        let text = self.present("instrument", text)?;
        let length = text.chars().take(INSTRUMENT_LEN_MAX + 1).count();
        if text.trim().is_empty() || length > INSTRUMENT_LEN_MAX || text.contains(char::is_control) {
            let allowed = format!("1 to {INSTRUMENT_LEN_MAX} characters without control characters");
            self.find("instrument", || format!("is {}, not {allowed}", quoted(text)));
            return None;
        }
        Some(text.to_owned())
    }

    fn decimal(&mut self, column: &str, text: Option<&str>, least: Least) -> Option<Decimal> {
        let text = self.present(column, text)?;
        let Some(value) = parse_decimal(text) else {
            self.find(column, || format!("is {}, not a decimal number of at most 28 digits", quoted(text)));
            return None;
        };
        let (enough, wanted) = match least {
            Least::Zero => (value >= Decimal::ZERO, "zero or more"),
            Least::AboveZero => (value > Decimal::ZERO, "above zero"),
        };
        if !enough {
            self.find(column, || format!("is {value}, not {wanted}"));
            return None;
        }
        Some(value)
    }

    fn present<'t>(&mut self, column: &str, text: Option<&'t str>) -> Option<&'t str> {
        if text.is_none() {
            self.find(column, || "is NULL".to_owned());
        }
        text
    }

    fn find(&mut self, column: &str, what: impl FnOnce() -> String) {
        self.findings.add(|| format!("{}: {column} {}", self.subject.name(), what()));
    }
}

/// A stored status.
enum Stored {
    Live(PositionStatus),
    Closed,
}

/// The smallest allowed value of a column.
///
/// Risk and margin may be zero (a stop moved past the entry price risks nothing) but never negative: a
/// negative amount would cancel a wrong positive one in the sum and so hide both from the comparison.
#[derive(Clone, Copy)]
enum Least {
    Zero,
    AboveZero,
}

/// Parses digits with at most one point among them and an optional sign before them: no exponent, no NaN, no blanks,
/// and no number that would have to be rounded.
fn parse_decimal(text: &str) -> Option<Decimal> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    // A column of many decimals pads with zeros, which have no meaning and may exceed the available digits.
    let padded = text.contains('.');
    let text = if padded { text.trim_end_matches('0').trim_end_matches('.') } else { text };
    Decimal::from_str_exact(text).ok()
}

/// An exact sum, or `None` if it has more digits than a [`Decimal`]. Amounts of very different size may need that;
/// the addition of `Decimal` then rounds, so every step is verified by a subtraction.
#[derive(Debug)]
struct Sum(Option<Decimal>);

impl Default for Sum {
    fn default() -> Self {
        Self(Some(Decimal::ZERO))
    }
}

impl Sum {
    fn add(&mut self, amount: Decimal) {
        self.0 = self.0.and_then(|total| {
            let next = total.checked_add(amount)?;
            let exact = next.checked_sub(amount)? == total && next.checked_sub(total)? == amount;
            exact.then_some(next)
        });
    }

    fn exact(&self, column: &str, findings: &mut Findings) -> Option<Decimal> {
        if self.0.is_none() {
            findings.add(|| format!("the sum of {column} has more digits than can be kept exactly (28)"));
        }
        self.0
    }
}

fn compare(column: &str, sum: Decimal, total_column: &str, total: Decimal, findings: &mut Findings) {
    // Both are zero or more, so their difference cannot overflow.
    let difference = (sum - total).abs();
    if difference > TOLERANCE {
        findings.add(|| {
            format!(
                "the positions' {column} sum to {sum}, the portfolio's {total_column} is {total}: they differ by \
                 {difference}, more than {TOLERANCE}"
            )
        });
    }
}

#[cfg(test)]
mod tests;
