//! Cases of the objective that exactly one instance leads.

use super::leads;
use crate::case::{Case, case, fires, quiet};

const FAST: &str = "LeaderSLOFastBurn";
const SLOW: &str = "LeaderSLOSlowBurn";

pub fn cases() -> [Case; 7] {
    [
        case(
            "a minute without a leader burns fast, until five minutes after it",
            [leads(["1+0x130 0 0 1+0x100", "0+0x300"])],
            [
                quiet(66, FAST),
                quiet(67, FAST),
                fires(68, FAST, "1.667%"),
                fires(70, FAST, "1.667%"),
                quiet(71, FAST),
                quiet(70, SLOW),
            ],
        ),
        case(
            "a minute with two leaders burns fast too",
            [leads(["1+0x300", "0+0x130 1 1 0+0x100"])],
            [fires(69, FAST, "1.667%")],
        ),
        case(
            "one failover does not burn fast",
            [leads(["1+0x130 0 1+0x100", "0+0x300"])],
            [quiet(66, FAST), quiet(68, FAST), quiet(70, FAST)],
        ),
        case(
            "the first counts of a new group do not count as its whole history",
            [leads(["0 1+0x100", "0+0x300"])],
            [quiet(2, FAST), quiet(4, FAST), quiet(20, SLOW)],
        ),
        case(
            "the fifth failover within six hours burns slowly",
            [leads([&format!("1+0x129 {}1+0x100", "0 1+0x129 ".repeat(5)), "0+0x900"])],
            [quiet(341, SLOW), fires(342, SLOW, "6.9"), quiet(357, SLOW), quiet(342, FAST)],
        ),
        case(
            "nine failovers burn slowly by six hours, then by a day, then by three days, until six hours are over",
            [leads([&format!("1+0x129 {}1+0x800", "0 1+0x3 ".repeat(9)), "0+0x1000"])],
            [fires(100, SLOW, "12.5"), fires(180, SLOW, "3.1"), fires(300, SLOW, "1.0"), quiet(480, SLOW)],
        ),
        case(
            "four failovers do not burn slowly, even close together",
            [leads([&format!("1+0x129 {}1+0x100", "0 1+0x29 ".repeat(4)), "0+0x400"])],
            [quiet(110, SLOW), quiet(125, SLOW), fires(114, FAST, "3.333%")],
        ),
    ]
}
