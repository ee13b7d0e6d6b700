//! The columns of a table: each is a label or the value of a query. All queries are merged into lines by the labels
//! that they share.

use crate::panel::{Says, mappings};
use crate::zones::Zones;
use serde_json::{Map, Value, json};

/// A column.
pub struct Column {
    title: &'static str,
    from: From,
    unit: &'static str,
    zones: Zones,
    says: Vec<Says>,
}

enum From {
    /// A label of a query whose value is not shown, or of another column's query.
    Label { name: &'static str, expr: Option<String> },
    /// The value of a query.
    Value { expr: String },
}

/// A label that the queries of other columns have.
pub fn label(title: &'static str, name: &'static str) -> Column {
    column(title, From::Label { name, expr: None })
}

/// A label of that query.
pub fn label_of(title: &'static str, name: &'static str, expr: &str) -> Column {
    column(title, From::Label { name, expr: Some(expr.to_owned()) })
}

/// The value of that query.
pub fn value(title: &'static str, expr: &str) -> Column {
    column(title, From::Value { expr: expr.to_owned() })
}

fn column(title: &'static str, from: From) -> Column {
    Column { title, from, unit: "none", zones: Zones::none(), says: Vec::new() }
}

impl Column {
    pub fn unit(self, unit: &'static str) -> Self {
        Self { unit, ..self }
    }

    pub fn zones(self, zones: Zones) -> Self {
        Self { zones, ..self }
    }

    pub fn mapped(self, says: impl Into<Vec<Says>>) -> Self {
        Self { says: says.into(), ..self }
    }

    pub fn expr(&self) -> Option<&str> {
        match &self.from {
            From::Label { expr, .. } => expr.as_deref(),
            From::Value { expr } => Some(expr),
        }
    }

    /// Merges the queries into lines, with the fields in order and under their titles; hides all other fields.
    pub fn transformations(columns: &[Self]) -> Value {
        let fields = fields(columns);
        let (mut left_out, mut order, mut titles) = (Map::new(), Map::new(), Map::new());
        left_out.insert("Time".to_owned(), true.into());
        for (index, (column, (field, values))) in columns.iter().zip(fields).enumerate() {
            left_out.extend(values.into_iter().map(|value| (value, true.into())));
            order.insert(field.clone(), index.into());
            titles.insert(field, column.title.into());
        }
        json!([
            { "id": "merge", "options": {} },
            {
                "id": "organize",
                "options": { "excludeByName": left_out, "indexByName": order, "renameByName": titles },
            },
        ])
    }

    /// The format of the values of each column.
    pub fn overrides(columns: &[Self]) -> Value {
        let values = columns.iter().filter(|column| matches!(column.from, From::Value { .. }));
        values.map(Self::shown).collect()
    }

    fn shown(&self) -> Value {
        let judged = !self.says.is_empty() || self.zones.judge();
        let cell = if judged { "color-background" } else { "auto" };
        json!({
            "matcher": { "id": "byName", "options": self.title },
            "properties": [
                { "id": "unit", "value": self.unit },
                { "id": "mappings", "value": mappings(&self.says) },
                { "id": "thresholds", "value": self.zones.of_values() },
                { "id": "custom.cellOptions", "value": { "type": cell } },
            ],
        })
    }
}

/// For each column the field that it shows, and the value field to hide.
fn fields(columns: &[Column]) -> Vec<(String, Option<String>)> {
    let only = columns.iter().filter(|column| column.expr().is_some()).count() == 1;
    let mut ids = 'A'..;
    let mut next = || {
        let id = ids.next().expect("fewer queries than letters");
        // Grafana numbers values only if there are several.
        if only { "Value".to_owned() } else { format!("Value #{id}") }
    };
    let field = |column: &Column| match &column.from {
        From::Label { name, expr: None } => ((*name).to_owned(), None),
        From::Label { name, expr: Some(_) } => ((*name).to_owned(), Some(next())),
        From::Value { .. } => (next(), None),
    };
    columns.iter().map(field).collect()
}
