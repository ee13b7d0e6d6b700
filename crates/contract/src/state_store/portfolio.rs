//! The rows that recovery reads: the store passes on every row that the domain must validate, exactly as stored.

use crate::raw_portfolio::RawPortfolio;
use crate::{Case, Opening, Process, Scene, StateStores, Tamper, cases};
use domain::ports::StoreError;
use domain::recovery::{Judgement, RawPosition, RawTotals};
use rust_decimal::Decimal;

pub(super) fn cases<A: StateStores>() -> Vec<Case<A>> {
    cases!("state_store", Scene:
        the_default_relations_are_created_empty_with_one_zero_total,
        the_default_relations_keep_decimals_exactly,
        texts_and_nulls_come_as_they_are_stored,
        closed_positions_are_left_out_in_any_letter_case,
        unknown_and_null_statuses_are_kept_for_validation,
        two_totals_are_enough_to_show_more_than_one,
        missing_totals_are_no_error_here,
        positions_come_in_the_order_of_their_ids_bytes,
        every_position_is_validated_for_any_number_of_positions,
        two_rows_of_one_id_are_found_among_many,
        a_missing_relation_is_named,
        a_missing_column_is_named,
    )
}

const POSITION: [&str; 7] =
    ["position_id", "instrument", "status", "quantity", "entry_price", "risk_amount", "margin_used"];
const TOTALS: [&str; 2] = ["total_risk_amount", "margin_used"];

/// A process whose relations belong to the case, with text columns, named `{group's serial}_...`.
struct Book {
    scene: Scene,
    process: Process,
}

impl Book {
    async fn new(scene: Scene) -> Self {
        Self::with_columns(scene, &POSITION, &TOTALS).await
    }

    async fn with_columns(scene: Scene, positions: &[&'static str], totals: &[&'static str]) -> Self {
        let opening = own_relations(&scene);
        for (name, columns) in [(&opening.positions, positions), (&opening.portfolio, totals)] {
            create(&scene, name, columns).await;
        }
        let process = scene.start(opening).await;
        Self { scene, process }
    }

    async fn insert(&self, relation: &str, columns: &[&'static str], rows: Vec<Vec<Option<String>>>) {
        let what = Tamper::Insert { relation: relation.to_owned(), columns: columns.to_vec(), rows };
        self.scene.tamper(what).await.expect("the application writes its relations");
    }

    async fn positions(&self, rows: &[[Option<&str>; 7]]) {
        let rows = rows.iter().map(|row| row.map(|value| value.map(str::to_owned)).to_vec()).collect();
        self.insert(&self.process.opening.positions, &POSITION, rows).await;
    }

    async fn totals(&self, rows: &[[Option<&str>; 2]]) {
        let rows = rows.iter().map(|row| row.map(|value| value.map(str::to_owned)).to_vec()).collect();
        self.insert(&self.process.opening.portfolio, &TOTALS, rows).await;
    }

    async fn read(&self) -> RawPortfolio {
        RawPortfolio::read(&*self.process.portfolio).await.expect("portfolio")
    }
}

fn own_relations(scene: &Scene) -> Opening {
    let serial = scene.group().as_str().rsplit('-').next().expect("a group ends in its serial");
    Opening {
        positions: format!("positions_{serial}"),
        portfolio: format!("portfolio_{serial}"),
        ..Opening::new(scene.group(), "a")
    }
}

async fn create(scene: &Scene, name: &str, columns: &[&'static str]) {
    let what = Tamper::CreateRelation { name: name.to_owned(), columns: columns.to_vec() };
    scene.tamper(what).await.expect("the application creates its relations");
}

fn raw(values: [Option<&str>; 7]) -> RawPosition {
    let [position_id, instrument, status, quantity, entry_price, risk_amount, margin_used] =
        values.map(|value| value.map(str::to_owned));
    RawPosition { position_id, instrument, status, quantity, entry_price, risk_amount, margin_used }
}

fn sorted(mut positions: Vec<RawPosition>) -> Vec<RawPosition> {
    positions.sort_by(|a, b| a.position_id.cmp(&b.position_id));
    positions
}

async fn the_default_relations_are_created_empty_with_one_zero_total(scene: Scene) {
    let scene = scene.in_fresh_database().await;
    let process = scene.process("a").await;
    let book = RawPortfolio::read(&*process.portfolio).await.expect("portfolio");
    assert_eq!(book.positions, []);
    assert_eq!(book.totals.len(), 1);
    for total in [&book.totals[0].total_risk_amount, &book.totals[0].margin_used] {
        assert_eq!(total.as_deref().map(str::parse::<Decimal>), Some(Ok(Decimal::ZERO)));
    }
    let again = scene.process("b").await;
    assert_eq!(
        RawPortfolio::read(&*again.portfolio).await,
        Ok(book),
        "a second migration adds no second row"
    );
}

async fn the_default_relations_keep_decimals_exactly(scene: Scene) {
    let scene = scene.in_fresh_database().await;
    let process = scene.process("a").await;
    // No binary float has exactly these values.
    let exact = ["0.1", "123456789012.34", "99999.99", "0.01"];
    let row = [
        Some("p-1"),
        Some("NIFTY"),
        Some("open"),
        Some(exact[0]),
        Some(exact[1]),
        Some(exact[2]),
        Some(exact[3]),
    ];
    let what = Tamper::Insert {
        relation: "portfolio_positions".to_owned(),
        columns: POSITION.to_vec(),
        rows: vec![row.map(|value| value.map(str::to_owned)).to_vec()],
    };
    scene.tamper(what).await.expect("a position");
    let book = RawPortfolio::read(&*process.portfolio).await.expect("portfolio");
    assert_eq!(book.positions.len(), 1);
    let read = &book.positions[0];
    assert_eq!((read.position_id.as_deref(), read.instrument.as_deref()), (Some("p-1"), Some("NIFTY")));
    let figures = [&read.quantity, &read.entry_price, &read.risk_amount, &read.margin_used];
    for (figure, exact) in figures.into_iter().zip(exact) {
        let figure: Decimal = figure.as_deref().expect("a figure").parse().expect("a decimal");
        assert_eq!(figure, exact.parse().expect("a decimal"));
    }
}

async fn texts_and_nulls_come_as_they_are_stored(scene: Scene) {
    let book = Book::new(scene).await;
    let rows = [
        [Some("p-1"), Some("BANKNIFTY"), Some("open"), Some("1.10"), Some("007"), Some("1e3"), Some("-0")],
        [Some("p-2"), Some("it's; DROP"), Some("open"), Some("NaN"), Some("Infinity"), Some(""), Some(" 1 ")],
        [Some("p-3"), None, Some("open"), None, None, None, None],
    ];
    book.positions(&rows).await;
    book.totals(&[[None, Some("100000000000000000000.01")]]).await;
    let read = book.read().await;
    assert_eq!(sorted(read.positions), rows.map(raw));
    let totals =
        RawTotals { total_risk_amount: None, margin_used: Some("100000000000000000000.01".to_owned()) };
    assert_eq!(read.totals, [totals]);
}

/// A position of which only id and status matter.
fn with_status<'a>(id: &'a str, status: Option<&'a str>) -> [Option<&'a str>; 7] {
    [Some(id), Some("NIFTY"), status, Some("1"), Some("1"), Some("1"), Some("1")]
}

async fn closed_positions_are_left_out_in_any_letter_case(scene: Scene) {
    let book = Book::new(scene).await;
    let rows = [("p-1", "closed"), ("p-2", "CLOSED"), ("p-3", "Closed"), ("p-4", "open"), ("p-5", "OPEN")];
    book.positions(&rows.map(|(id, status)| with_status(id, Some(status)))).await;
    let open = [with_status("p-4", Some("open")), with_status("p-5", Some("OPEN"))].map(raw);
    assert_eq!(sorted(book.read().await.positions), open);
}

async fn unknown_and_null_statuses_are_kept_for_validation(scene: Scene) {
    let book = Book::new(scene).await;
    let rows = [with_status("p-1", None), with_status("p-2", Some("")), with_status("p-3", Some("closed?"))];
    book.positions(&rows).await;
    assert_eq!(sorted(book.read().await.positions), rows.map(raw));
}

async fn two_totals_are_enough_to_show_more_than_one(scene: Scene) {
    let book = Book::new(scene).await;
    book.totals(&[[Some("1"), Some("1")]; 2]).await;
    assert_eq!(book.read().await.totals.len(), 2);
    book.totals(&[[Some("1"), Some("1")]; 3]).await;
    assert_eq!(book.read().await.totals.len(), 2);
}

async fn missing_totals_are_no_error_here(scene: Scene) {
    let book = Book::new(scene).await;
    assert_eq!(book.read().await, RawPortfolio::default());
}

async fn positions_come_in_the_order_of_their_ids_bytes(scene: Scene) {
    let book = Book::new(scene).await;
    // The collation of a language puts `a` before `B`, and a numeric one 9 before 10.
    let ids = ["a", "B", "10", "b", "9", "A", "a.1", "a", "_", "a-1"];
    book.positions(&ids.map(|id| with_status(id, Some("open")))).await;
    let read: Vec<String> = book
        .read()
        .await
        .positions
        .into_iter()
        .map(|position| position.position_id.expect("an id"))
        .collect();
    assert_eq!(read, ["10", "9", "A", "B", "_", "a", "a", "a-1", "a.1", "b"]);
}

/// More than one page of any client.
const POSITIONS: usize = 12_001;

/// Valid positions of one rupee at risk and no margin, the greatest id first.
fn many(count: usize) -> Vec<Vec<Option<String>>> {
    let row = |n| {
        let id = format!("p-{n:05}");
        [id.as_str(), "NIFTY", "open", "1", "1", "1", "0"].map(|value| Some(value.to_owned())).to_vec()
    };
    (0..count).rev().map(row).collect()
}

async fn judged(book: &Book) -> Result<u64, Vec<String>> {
    let mut judgement = Judgement::default();
    book.process.portfolio.portfolio(&mut judgement).await.expect("portfolio");
    judgement.verdict().map(|portfolio| portfolio.count).map_err(|fault| fault.findings)
}

async fn every_position_is_validated_for_any_number_of_positions(scene: Scene) {
    let book = Book::new(scene).await;
    let total = POSITIONS.to_string();
    book.totals(&[[Some(&total), Some("0")]]).await;
    book.insert(&book.process.opening.positions, &POSITION, many(POSITIONS)).await;
    assert_eq!(judged(&book).await, Ok(POSITIONS as u64));
    // It comes last.
    book.positions(&[[
        Some("q"),
        Some("NIFTY"),
        Some("open"),
        Some("none"),
        Some("1"),
        Some("0"),
        Some("0"),
    ]])
    .await;
    let last = "position \"q\": quantity is \"none\", not a decimal number of at most 28 digits";
    assert_eq!(judged(&book).await, Err(vec![last.to_owned()]));
}

async fn two_rows_of_one_id_are_found_among_many(scene: Scene) {
    let book = Book::new(scene).await;
    let total = (POSITIONS + 1).to_string();
    book.totals(&[[Some(&total), Some("0")]]).await;
    book.insert(&book.process.opening.positions, &POSITION, many(POSITIONS)).await;
    let again = format!("p-{:05}", POSITIONS - 1);
    book.positions(&[[
        Some(&again),
        Some("NIFTY"),
        Some("open"),
        Some("1"),
        Some("1"),
        Some("1"),
        Some("0"),
    ]])
    .await;
    let twice = format!("position \"{again}\": position_id occurs more than once");
    assert_eq!(judged(&book).await, Err(vec![twice]));
}

async fn a_missing_relation_is_named(scene: Scene) {
    let opening = own_relations(&scene);
    create(&scene, &opening.positions, &POSITION).await;
    let missing = opening.portfolio.clone();
    let process = scene.start(opening).await;
    assert_names(&process, &missing).await;
}

async fn a_missing_column_is_named(scene: Scene) {
    let lacking: Vec<&'static str> = POSITION.into_iter().filter(|column| *column != "risk_amount").collect();
    let book = Book::with_columns(scene, &lacking, &TOTALS).await;
    // With a row, because an engine that reads an unknown quoted name as a text shows its mistake only then.
    let row = vec![["p-1"; 6].map(|value| Some(value.to_owned())).to_vec()];
    book.insert(&book.process.opening.positions, &lacking, row).await;
    assert_names(&book.process, "risk_amount").await;
}

async fn assert_names(process: &Process, missing: &str) {
    match RawPortfolio::read(&*process.portfolio).await {
        Err(StoreError::Corrupt(message)) => {
            assert!(message.contains(missing), "{message:?} names {missing}");
        }
        other => panic!("{missing} is missing, yet: {other:?}"),
    }
}
