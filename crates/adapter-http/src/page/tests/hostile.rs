//! Texts of other processes stay text, and the page contains no inline script or style.

use super::fixture::{self, group, lease, member, signal, term};
use crate::page::document;
use crate::page::listing::{Audit, Choice, Listing};
use domain::id::InstanceId;
use domain::ledger::{Actor, AuditEntry, Paused, SignalState, Totals};
use domain::member::MemberState;
use domain::settings::SharedSettings;

const HOSTILE: &str = "<img src=x onerror=alert(1)>\"'&{{sentence}}\u{202e}\u{1b}[2J";

#[test]
fn foreign_text_stays_text_in_every_section() {
    let seen = group(|last| {
        let mut bad = member("desk-2", MemberState::Active, 4);
        bad.member.id = InstanceId::from_stored(HOSTILE);
        bad.member.host = HOSTILE.to_owned();
        bad.member.version = HOSTILE.to_owned();
        bad.member.address = "javascript:alert(1)".to_owned();
        bad.member.cannot_lead = Some(HOSTILE.to_owned());
        bad.member.settings = SharedSettings::default().with("leader_ttl", HOSTILE);
        let terms = vec![term(41, "desk-2", 60, Some((30, HOSTILE)))];
        let members = vec![member("desk-1", MemberState::Standby, 2), bad];
        last.state_store_answered((lease("desk-2", 41, 60, 1), members, terms), fixture::NOW_MS);
        let paused =
            Paused { reason: HOSTILE.to_owned(), who: HOSTILE.to_owned(), since_ms: fixture::NOW_MS };
        last.facts.totals.answered(Totals { paused: Some(paused), ..Totals::default() }, fixture::NOW_MS);
    });
    let mut bad = signal("s-1", 1, SignalState::InDoubt, 60);
    bad.note = Some(HOSTILE.to_owned());
    bad.instruction.payload = "{\"price\":\"<b>\"}".to_owned();
    let entry = AuditEntry {
        number: 1,
        at_ms: fixture::NOW_MS,
        actor: Actor { who: HOSTILE.to_owned(), origin: HOSTILE.to_owned() },
        epoch: None,
        what: HOSTILE.to_owned(),
        signal: None,
        attempt: 1,
        note: Some(HOSTILE.to_owned()),
    };
    let listing = Listing {
        choice: Choice { open: Some(bad.id.clone()), ..Choice::default() },
        rows: vec![bad.clone()],
        has_more: true,
        as_of_ms: None,
        is_partial: false,
        audit: Audit::Read(Box::new((bad, vec![entry]))),
    };
    let page = document::html(&seen, &listing, "dark");
    assert!(!page.contains("<img") && !page.contains("<b>\""), "{page}");
    assert!(!page.contains("href=\"javascript:"), "{page}");
    assert!(!page.contains('\u{1b}'), "{page}");
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;{{sentence}}"), "{page}");
    assert!(page.contains("data-theme=\"dark\""));
    no_inline(&page);
}

/// The policy `default-src 'self'` refuses inline scripts, handlers and styles.
fn no_inline(page: &str) {
    for tag in page.split('<').filter_map(|part| part.split_once('>')).map(|(tag, _)| tag) {
        let name = tag.split(' ').next().unwrap_or_default();
        assert!(name != "style" && (name != "script" || tag.contains(" src=\"")), "{tag}");
        // Values are in double quotes, and a quote inside of one is escaped.
        for attribute in tag.split('"').step_by(2) {
            let name = attribute.trim().trim_end_matches('=');
            assert!(name != "style" && !name.starts_with("on"), "{tag}");
        }
    }
}

#[test]
fn a_healthy_page_has_no_inline_script_or_style_and_no_unknown_place() {
    let seen = group(|_| ());
    let listing = Listing::from_memory(&seen, &Choice::default());
    let page = document::html(&seen, &listing, "system");
    no_inline(&page);
    assert!(!page.contains("{{"), "{page}");
    for (id, _) in document::sections(&seen) {
        assert_eq!(page.matches(&format!("id=\"{id}\"")).count(), 1, "the place of {id}");
    }
}
