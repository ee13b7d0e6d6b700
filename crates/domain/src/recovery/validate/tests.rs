use super::*;
use crate::recovery::FINDINGS_MAX;
use alloc::string::ToString;
use alloc::vec;

/// The rows that a store passes on.
#[derive(Default)]
struct RawPortfolio {
    positions: Vec<RawPosition>,
    totals: Vec<RawTotals>,
}

fn validate(raw: &RawPortfolio) -> Result<Portfolio, RecoveryFault> {
    let mut judgement = Judgement::default();
    for position in &raw.positions {
        judgement.position(position);
    }
    for totals in &raw.totals {
        judgement.totals(totals);
    }
    judgement.verdict()
}

/// The positions of a portfolio with few positions.
fn positions(raw: &RawPortfolio) -> Vec<Position> {
    validate(raw).expect("sound").positions.expect("they are few")
}

#[allow(clippy::unnecessary_wraps, reason = "a column that is not NULL")]
fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

fn row(id: &str) -> RawPosition {
    RawPosition {
        position_id: text(id),
        instrument: text("GOLD_MINI"),
        status: text("open"),
        quantity: text("3"),
        entry_price: text("78500.00"),
        risk_amount: text("100000.00"),
        margin_used: text("250000.50"),
    }
}

fn totals(risk: &str, margin: &str) -> RawTotals {
    RawTotals { total_risk_amount: text(risk), margin_used: text(margin) }
}

/// Two valid positions whose sums equal the totals.
fn sound() -> RawPortfolio {
    RawPortfolio { positions: vec![row("P-1"), row("P-2")], totals: vec![totals("200000.00", "500001.00")] }
}

/// The valid portfolio with a change of its second position.
fn with(change: impl FnOnce(&mut RawPosition)) -> RawPortfolio {
    let mut raw = sound();
    change(&mut raw.positions[1]);
    raw
}

#[track_caller]
fn assert_corrupt(raw: &RawPortfolio, finding: &str) {
    let fault = validate(raw).expect_err("corrupt");
    assert_eq!((fault.code, fault.findings), (RecoveryCode::DataCorrupt, vec![finding.to_owned()]));
}

type Column = (&'static str, fn(&mut RawPosition) -> &mut Option<String>);
const ABOVE_ZERO: [Column; 2] =
    [("quantity", |row| &mut row.quantity), ("entry_price", |row| &mut row.entry_price)];
const ZERO_OR_MORE: [Column; 2] =
    [("risk_amount", |row| &mut row.risk_amount), ("margin_used", |row| &mut row.margin_used)];

#[test]
fn a_sound_portfolio_keeps_every_digit() {
    let portfolio = validate(&sound()).expect("sound");
    let positions = positions(&sound());
    assert_eq!((portfolio.count, positions.len()), (2, 2));
    assert_eq!(positions[0].id.as_str(), "P-1");
    assert_eq!(positions[0].status, PositionStatus::Open);
    assert_eq!(positions[1].margin_used.to_string(), "250000.5");
    assert_eq!(portfolio.total_risk_amount, Decimal::from(200_000));
    assert_eq!(portfolio.margin_used, Decimal::from(500_001));
}

#[test]
fn no_position_at_all_is_sound() {
    let raw = RawPortfolio { positions: vec![], totals: vec![totals("0", "0.00")] };
    assert_eq!(positions(&raw), []);
    assert_eq!(validate(&raw).expect("sound").count, 0);
}

#[test]
fn statuses_are_known_in_any_letter_case() {
    let raw = with(|row| row.status = text("PaRTiaL"));
    assert_eq!(positions(&raw)[1].status, PositionStatus::Partial);

    let mut raw = sound();
    raw.positions.push(RawPosition { status: text("CLOSED"), ..RawPosition::default() });
    assert_eq!(validate(&raw).expect("a closed row is history").count, 2);

    for unknown in ["opened", "", " open", "\u{130}"] {
        let raw = with(|row| row.status = text(unknown));
        let finding = format!("position \"P-2\": status is {unknown:?}, not open, partial or closed");
        assert_corrupt(&raw, &finding);
    }
}

#[test]
fn null_is_corrupt_in_every_column() {
    let columns: [Column; 3] = [
        ("position_id", |row| &mut row.position_id),
        ("instrument", |row| &mut row.instrument),
        ("status", |row| &mut row.status),
    ];
    for (column, of) in columns.into_iter().chain(ABOVE_ZERO).chain(ZERO_OR_MORE) {
        let raw = with(|row| *of(row) = None);
        let who = if column == "position_id" { "without id (row 2 as read)" } else { "\"P-2\"" };
        assert_corrupt(&raw, &format!("position {who}: {column} is NULL"));
    }
}

#[test]
fn what_is_not_a_finite_decimal_is_corrupt() {
    let long = "1".repeat(30);
    let texts =
        ["NaN", "Infinity", "-Infinity", "inf", "", " 1", "1,5", "1_000", "1e3", "0x10", "+1", ".5", "1."];
    for wrong in texts.into_iter().chain(["1.2.3", "-", "--1", "1.00000000000000000000000000001", &long]) {
        for (column, of) in ABOVE_ZERO.into_iter().chain(ZERO_OR_MORE) {
            let raw = with(|row| *of(row) = text(wrong));
            let what = format!("{wrong:?}, not a decimal number of at most 28 digits");
            assert_corrupt(&raw, &format!("position \"P-2\": {column} is {what}"));
        }
    }
}

#[test]
fn padding_zeros_beyond_the_kept_digits_change_nothing() {
    let raw = with(|row| row.quantity = text(&format!("3.{}", "0".repeat(60))));
    assert_eq!(positions(&raw)[1].quantity, Decimal::from(3));
    let raw = with(|row| row.quantity = text("300"));
    assert_eq!(positions(&raw)[1].quantity, Decimal::from(300));
}

#[test]
fn quantity_and_price_are_above_zero() {
    for (column, of) in ABOVE_ZERO {
        let finding = |value: &str| format!("position \"P-2\": {column} is {value}, not above zero");
        assert_corrupt(&with(|row| *of(row) = text("0")), &finding("0"));
        assert_corrupt(&with(|row| *of(row) = text("-0.0001")), &finding("-0.0001"));
        validate(&with(|row| *of(row) = text("0.0001"))).expect("a little is enough");
    }
}

#[test]
fn risk_and_margin_may_be_zero_and_never_negative() {
    for (column, of) in ZERO_OR_MORE {
        let raw = with(|row| *of(row) = text("-0.01"));
        assert_corrupt(&raw, &format!("position \"P-2\": {column} is -0.01, not zero or more"));
    }
    let mut raw = with(|row| {
        row.risk_amount = text("0");
        row.margin_used = text("0.00");
    });
    raw.totals = vec![totals("100000.00", "250000.50")];
    validate(&raw).expect("a position without risk");
}

#[test]
fn ids_are_unique_and_valid() {
    let raw = with(|row| row.position_id = text("P-1"));
    assert_corrupt(&raw, "position \"P-1\": position_id occurs more than once");

    let allowed = "position_id is not 1 to 128 of the characters A-Z a-z 0-9 . _ : -";
    let long = "x".repeat(129);
    let shown = format!("\"{}\" (cut)", "x".repeat(SHOWN_MAX));
    let hostile = [
        ("", "\"\""),
        ("a b", "\"a b\""),
        ("<script>", "\"<script>\""),
        ("\u{1b}[2J\n", "\"\\u{1b}[2J\\n\""),
        ("\u{202e}txt", "\"\\u{202e}txt\""),
        (&long, &shown),
    ];
    for (id, shown) in hostile {
        let raw = with(|row| row.position_id = text(id));
        assert_corrupt(&raw, &format!("position {shown}: {allowed}"));
    }
    validate(&with(|row| row.position_id = text(&"x".repeat(128)))).expect("128 characters are enough");
}

#[test]
fn instruments_are_names() {
    let longest = "\u{20b9}".repeat(INSTRUMENT_LEN_MAX);
    for fine in ["M&M 25DEC FUT", &longest] {
        validate(&with(|row| row.instrument = text(fine))).expect("an instrument");
    }
    let too_long = "x".repeat(INSTRUMENT_LEN_MAX + 1);
    for wrong in ["", "  ", "GOLD\n", "G\u{0}", &too_long] {
        let raw = with(|row| row.instrument = text(wrong));
        let what = "not 1 to 128 characters without control characters";
        assert_corrupt(&raw, &format!("position \"P-2\": instrument is {}, {what}", quoted(wrong)));
    }
}

#[test]
fn there_is_exactly_one_portfolio_row() {
    let mut raw = sound();
    raw.totals.clear();
    assert_corrupt(&raw, "the portfolio has no row, not exactly one");
    raw.totals = vec![totals("200000", "500001"), totals("200000", "500001")];
    assert_corrupt(&raw, "the portfolio has more than one row");
}

#[test]
fn totals_are_finite_and_not_negative() {
    let mut raw = sound();
    raw.totals = vec![RawTotals { total_risk_amount: None, margin_used: text("500001") }];
    assert_corrupt(&raw, "portfolio: total_risk_amount is NULL");
    raw.totals = vec![totals("200000", "NaN")];
    assert_corrupt(&raw, "portfolio: margin_used is \"NaN\", not a decimal number of at most 28 digits");
    raw.totals = vec![totals("-0.01", "500001")];
    assert_corrupt(&raw, "portfolio: total_risk_amount is -0.01, not zero or more");
}

#[test]
fn a_difference_of_a_paisa_passes_and_a_larger_one_fails() {
    for passing in ["200000.01", "199999.99", "200000", "200000.0099999"] {
        let mut raw = sound();
        raw.totals = vec![totals(passing, "500001")];
        validate(&raw).expect(passing);
    }
    let failing = [
        ("200000.0100000000000001", "200000.0100000000000001", "0.0100000000000001"),
        ("199999.98", "199999.98", "0.02"),
        ("0", "0", "200000"),
    ];
    for (total, shown, difference) in failing {
        let mut raw = sound();
        raw.totals = vec![totals(total, "500001")];
        let fault = validate(&raw).expect_err(total);
        let finding = format!(
            "the positions' risk_amount sum to 200000, the portfolio's total_risk_amount is {shown}: they \
             differ by {difference}, more than 0.01"
        );
        assert_eq!((fault.code, fault.findings), (RecoveryCode::ValidationFailed, vec![finding]));
    }
}

#[test]
fn both_sums_are_compared_and_reported() {
    let mut raw = sound();
    raw.totals = vec![totals("1", "2")];
    let fault = validate(&raw).expect_err("neither agrees");
    assert_eq!(fault.code, RecoveryCode::ValidationFailed);
    assert!(fault.findings[0].contains("total_risk_amount is 1:"), "{fault}");
    assert!(fault.findings[1].contains("margin_used is 2:"), "{fault}");
    raw.totals = vec![totals("200000", "500001.02")];
    assert_eq!(validate(&raw).expect_err("margin alone").code, RecoveryCode::ValidationFailed);
}

#[test]
fn a_tenth_and_two_tenths_are_three_tenths() {
    let mut raw = sound();
    raw.positions[0].risk_amount = text("0.1");
    raw.positions[1].risk_amount = text("0.2");
    // With floats the sum is 0.30000000000000004, and the difference would be above a paisa.
    raw.totals = vec![totals("0.31", "500001")];
    validate(&raw).expect("exactly a paisa apart");
}

#[test]
fn a_sum_that_cannot_be_exact_is_corrupt() {
    let most = Decimal::MAX.to_string();
    let overflow = "the sum of risk_amount has more digits than can be kept exactly (28)";
    for (first, second) in
        [(most.as_str(), "1"), (most.as_str(), "0.1"), ("0.0000000000000000000000000001", "80")]
    {
        let mut raw = sound();
        raw.positions[0].risk_amount = text(first);
        raw.positions[1].risk_amount = text(second);
        assert_corrupt(&raw, overflow);
    }
}

#[test]
fn the_largest_amounts_are_compared_without_rounding() {
    let mut raw = sound();
    raw.positions.truncate(1);
    raw.positions[0].risk_amount = text("7922816251426433759354395033.5");
    raw.totals = vec![totals("7922816251426433759354395033.4", "250000.50")];
    let fault = validate(&raw).expect_err("a tenth apart");
    assert_eq!(fault.code, RecoveryCode::ValidationFailed);
    assert!(fault.findings[0].contains("they differ by 0.1,"), "{fault}");
}

#[test]
fn every_corrupt_value_is_reported_in_one_run() {
    let mut raw = sound();
    raw.positions[0].quantity = text("0");
    raw.positions[0].entry_price = None;
    raw.positions[1].margin_used = text("NaN");
    raw.totals.clear();
    let fault = validate(&raw).expect_err("corrupt");
    assert_eq!((fault.code, fault.findings.len()), (RecoveryCode::DataCorrupt, 4));
}

const ROWS: u64 = 100_000;

/// Row number `n`, in the order of ids, with one paisa at risk.
fn paisa(n: u64) -> RawPosition {
    RawPosition { risk_amount: text("0.01"), margin_used: text("0"), ..row(&format!("P-{n:06}")) }
}

/// The result after all rows and then `last`, with the totals that are right without `last`.
fn after_all_rows(last: &RawPosition) -> Result<Portfolio, RecoveryFault> {
    let mut judgement = Judgement::default();
    (0..ROWS).for_each(|n| judgement.position(&paisa(n)));
    judgement.position(last);
    judgement.totals(&totals("1000.00", "0"));
    judgement.verdict()
}

#[test]
fn every_row_is_validated_and_summed_for_any_number_of_rows() {
    let closed = RawPosition { status: text("closed"), ..row("P-x") };
    let portfolio = after_all_rows(&closed).expect("the sum is exact");
    assert_eq!((portfolio.count, portfolio.positions), (ROWS, None));
    let last = format!("P-{:06}", ROWS - 1);
    for (row, finding) in [
        (paisa(ROWS - 1), format!("position \"{last}\": position_id occurs more than once")),
        (
            paisa(0),
            "position \"P-000000\": position_id was not read in its order, so a repetition could hide"
                .to_owned(),
        ),
        (
            RawPosition { quantity: text("none"), ..row("P-x") },
            "position \"P-x\": quantity is \"none\", not a decimal number of at most 28 digits".to_owned(),
        ),
    ] {
        let fault = after_all_rows(&row).expect_err("the last row is corrupt");
        assert_eq!((fault.code, fault.findings), (RecoveryCode::DataCorrupt, vec![finding]));
    }
    let fault = after_all_rows(&RawPosition { risk_amount: text("0.02"), ..paisa(ROWS) });
    let fault = fault.expect_err("the last row's amount is in the sum");
    assert_eq!(fault.code, RecoveryCode::ValidationFailed);
    assert!(fault.findings[0].contains("sum to 1000.02,"), "{fault}");
}

#[test]
fn positions_are_kept_all_or_not_at_all() {
    let judged = |count: usize| {
        let mut judgement = Judgement::default();
        (0..count as u64).for_each(|n| judgement.position(&paisa(n)));
        judgement.totals(&totals(&format!("{}.{:02}", count / 100, count % 100), "0"));
        judgement.verdict().expect("sound")
    };
    let portfolio = judged(POSITIONS_KEPT_MAX);
    assert_eq!(portfolio.positions.map(|kept| kept.len()), Some(POSITIONS_KEPT_MAX));
    let portfolio = judged(POSITIONS_KEPT_MAX + 1);
    assert_eq!((portfolio.count, portfolio.positions), (POSITIONS_KEPT_MAX as u64 + 1, None));
}

/// Approximate number of bytes that a judgement keeps.
fn kept(judgement: &Judgement) -> usize {
    let position = |position: &Position| position.instrument.capacity() + position.id.as_str().len();
    judgement.findings.bytes()
        + judgement.kept.capacity() * size_of::<Position>()
        + judgement.kept.iter().map(position).sum::<usize>()
}

#[test]
fn a_judgement_does_not_grow_with_the_rows() {
    let longest = "\u{20b9}".repeat(INSTRUMENT_LEN_MAX);
    let id = |n: u64| text(&format!("{}-{n:08}", "x".repeat(119)));
    let sound = |n| RawPosition { position_id: id(n), instrument: text(&longest), ..paisa(0) };
    let hostile = "\u{10ffff}".repeat(256);
    let corrupt = |n| RawPosition { instrument: text(&hostile), quantity: text(&hostile), ..sound(n) };
    for of in [&sound as &dyn Fn(u64) -> RawPosition, &corrupt] {
        let mut judgement = Judgement::default();
        let mut most = 0;
        for n in 0..ROWS {
            judgement.position(&of(n));
            // Positions are not kept above this number.
            if n > POSITIONS_KEPT_MAX as u64 {
                most = most.max(kept(&judgement));
            }
        }
        assert!(most <= FINDINGS_MAX * 4_096, "{most} bytes");
    }
    let mut judgement = Judgement::default();
    (0..POSITIONS_KEPT_MAX as u64).for_each(|n| judgement.position(&sound(n)));
    let most = kept(&judgement);
    assert!(most < 1 << 20, "{most} bytes");
}

#[test]
fn findings_beyond_the_first_are_counted() {
    let mut judgement = Judgement::default();
    (0..ROWS).for_each(|n| judgement.position(&RawPosition { quantity: text("0"), ..paisa(n) }));
    judgement.totals(&totals("0", "0"));
    let fault = judgement.verdict().expect_err("every row is corrupt");
    assert_eq!((fault.findings.len(), fault.omitted), (FINDINGS_MAX, 100_000 - FINDINGS_MAX));
    assert!(fault.to_string().ends_with("; and 99980 more"), "{fault}");
}
