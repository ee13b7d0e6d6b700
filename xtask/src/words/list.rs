//! The words that the project's text does not use, and the places where they may remain. The step `words` of
//! `cargo xtask check` and `cargo xtask words` use both lists; an entry of either must have its reason.

/// Phrases that a reader has to read twice, or that have a standard term.
pub struct Refused {
    /// In lower case; a phrase is refused in any case and across line breaks.
    pub phrases: &'static [&'static str],
    /// The remedy, printed with each place.
    pub instead: &'static str,
}

pub const REFUSED: [Refused; 13] = [
    Refused {
        phrases: &["told", "tells"],
        instead: "logs, reports, exports, answers, notifies, fires, returns",
    },
    Refused {
        phrases: &["nobody", "somebody", "whoever"],
        instead: "name the actor: an instance, the leader, the operator, a client, PostgreSQL",
    },
    Refused { phrases: &["so many", "so long"], instead: "that many, that long, or the number" },
    Refused { phrases: &["is to be", "are to be"], instead: "must, should" },
    Refused { phrases: &["is looked at", "are looked at"], instead: "active voice: the driver reads" },
    Refused { phrases: &["of its own"], instead: "its own, a separate" },
    Refused { phrases: &["beside"], instead: "in addition to, next to, with" },
    Refused { phrases: &["likewise"], instead: "leave it out, or say what is the same" },
    Refused { phrases: &["meanwhile"], instead: "while, until then, or leave it out" },
    Refused { phrases: &["as good as"], instead: "almost, equivalent to" },
    Refused { phrases: &["standing", "standings"], instead: "state (of an instance)" },
    Refused { phrases: &["beat", "beats"], instead: "heartbeat; wins against" },
    Refused {
        // As a verb (`look up`, `looks for`) it may remain, so its usual companions as a noun are listed.
        phrases: &[
            "a look",
            "the look",
            "this look",
            "each look",
            "every look",
            "another look",
            "one look",
            "no look",
            "own look",
            "its look",
            "first look",
            "next look",
            "last look",
            "late look",
            "the looks",
            "two looks",
            "between looks",
        ],
        instead: "poll, read",
    },
];

/// Places where a refused word is right.
pub struct Exempt {
    /// As in [`Refused::phrases`], or [`ANY`].
    pub phrase: &'static str,
    /// The file, or the folder with a slash at the end.
    pub path: &'static str,
    /// Why the word remains. `cargo xtask words` prints it.
    pub reason: &'static str,
}

/// Every phrase.
pub const ANY: &str = "";

pub const EXEMPT: [Exempt; 2] = [
    Exempt {
        phrase: ANY,
        path: "xtask/src/words/",
        reason: "the lists themselves, and what their tests refuse",
    },
    Exempt {
        phrase: ANY,
        path: "docs/metrics.md",
        reason: "the text above the generated table explains the table's columns, which the code names",
    },
];
