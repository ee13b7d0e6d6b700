//! Relations of texts, as recovery reads them.

use domain::ports::StoreError;
use domain::recovery::{PortfolioRows, RawPosition, RawTotals};
use std::collections::BTreeMap;

pub(super) const POSITION: [&str; 7] =
    ["position_id", "instrument", "status", "quantity", "entry_price", "risk_amount", "margin_used"];
pub(super) const TOTALS: [&str; 2] = ["total_risk_amount", "margin_used"];
/// This number of rows shows that there is more than one.
const TOTALS_READ_MAX: usize = 2;

type Row = BTreeMap<String, Option<String>>;

/// A table of text columns.
#[derive(Debug, Clone)]
pub(super) struct Relation {
    columns: Vec<String>,
    rows: Vec<Row>,
}

impl Relation {
    pub(super) fn new(columns: &[&str]) -> Self {
        Self { columns: columns.iter().map(|&column| column.to_owned()).collect(), rows: Vec::new() }
    }

    pub(super) fn insert(&mut self, columns: &[&str], rows: &[Vec<Option<String>>]) {
        for row in rows {
            assert_eq!(columns.len(), row.len(), "a value for each column");
            self.rows
                .push(columns.iter().map(|&column| column.to_owned()).zip(row.iter().cloned()).collect());
        }
    }

    pub(super) fn delete_rows(&mut self) {
        self.rows.clear();
    }

    /// Passes on the rows that are not closed, ordered by id.
    pub(super) fn positions(&self, name: &str, to: &mut dyn PortfolioRows) -> Result<(), StoreError> {
        self.require(name, &POSITION)?;
        let mut open: Vec<RawPosition> = self.rows.iter().map(position).filter(is_open).collect();
        open.sort_by(|a, b| a.position_id.cmp(&b.position_id));
        for position in &open {
            to.position(position);
        }
        Ok(())
    }

    /// Passes on the rows of the portfolio.
    pub(super) fn totals(&self, name: &str, to: &mut dyn PortfolioRows) -> Result<(), StoreError> {
        self.require(name, &TOTALS)?;
        let totals = |row: &Row| RawTotals {
            total_risk_amount: value(row, "total_risk_amount"),
            margin_used: value(row, "margin_used"),
        };
        for row in self.rows.iter().map(totals).take(TOTALS_READ_MAX) {
            to.totals(&row);
        }
        Ok(())
    }

    fn require(&self, name: &str, columns: &[&str]) -> Result<(), StoreError> {
        match columns.iter().find(|&&column| !self.columns.iter().any(|has| has == column)) {
            None => Ok(()),
            Some(missing) => Err(StoreError::Corrupt(format!("{name} has no column {missing}"))),
        }
    }
}

fn position(row: &Row) -> RawPosition {
    RawPosition {
        position_id: value(row, "position_id"),
        instrument: value(row, "instrument"),
        status: value(row, "status"),
        quantity: value(row, "quantity"),
        entry_price: value(row, "entry_price"),
        risk_amount: value(row, "risk_amount"),
        margin_used: value(row, "margin_used"),
    }
}

fn is_open(position: &RawPosition) -> bool {
    !position.status.as_ref().is_some_and(|status| status.eq_ignore_ascii_case("closed"))
}

fn value(row: &Row, column: &str) -> Option<String> {
    row.get(column).cloned().flatten()
}
