//! Short forms of the ids of instances for a terminal.

use domain::id::InstanceId;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Length of a short form: the first group of a uuid.
const SHORT: usize = 8;
/// Length of a uuid as text.
const UUID: usize = 36;

/// The short form of every id of the form `UUID-PID`. Other ids were chosen by the operator and stay whole.
pub struct ShortIds(BTreeMap<String, String>);

impl ShortIds {
    /// The short forms of `ids`, all of which differ: the first eight characters, or more if they are not unique.
    /// Instances with one data directory differ only in the process id: their form is `UUID8-PID`.
    pub fn of<'a>(ids: impl IntoIterator<Item = &'a InstanceId>) -> Self {
        let ids: Vec<&str> = ids.into_iter().map(InstanceId::as_str).collect();
        let short = |id: &&str| {
            let others = || ids.iter().filter(|other| *other != id);
            let unique = (SHORT..UUID).map(|len| &id[..len]);
            let unique = unique.map(str::to_owned).chain([with_pid(id)?]);
            let mut unique = unique.filter(|short| !others().any(|other| means(short, other)));
            Some(((*id).to_owned(), unique.next()?))
        };
        Self(ids.iter().filter_map(short).collect())
    }

    /// Every id stays whole.
    pub fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// The short form of an id.
    pub fn short<'a>(&'a self, id: &'a str) -> &'a str {
        self.0.get(id).map_or(id, String::as_str)
    }

    /// A text with the short form of every id in it.
    pub fn shorten(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (id, short)| text.replace(id, short))
    }
}

/// The id that `text` names among `ids`: the whole id, or the only one of which it is a short form or a beginning.
pub fn named<'a>(text: &str, ids: &'a [InstanceId]) -> Result<&'a InstanceId, String> {
    let meant: Vec<&InstanceId> = ids.iter().filter(|id| means(text, id.as_str())).collect();
    match (ids.iter().find(|id| id.as_str() == text), meant.as_slice()) {
        (Some(id), _) => Ok(id),
        (None, [id]) => Ok(*id),
        (None, []) => {
            Err(format!("there is no instance {text} in the instance table; see `coordinator status`"))
        }
        (None, several) => {
            let several: Vec<&str> = several.iter().map(|id| id.as_str()).collect();
            Err(format!("{text} is the beginning of several ids: {}", several.join(", ")))
        }
    }
}

/// `UUID8-PID` of an id of the form `UUID-PID`.
fn with_pid(id: &str) -> Option<String> {
    let (uuid, pid) = id.rsplit_once('-')?;
    let generated = uuid.len() == UUID
        && Uuid::parse_str(uuid).is_ok()
        && !pid.is_empty()
        && pid.bytes().all(|b| b.is_ascii_digit());
    generated.then(|| format!("{}-{pid}", &uuid[..SHORT]))
}

/// Whether `text` is the id, a prefix of it, or its form `UUID8-PID`.
fn means(text: &str, id: &str) -> bool {
    id.starts_with(text) || with_pid(id).is_some_and(|short| short == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "1f3a9b2c-1111-4111-8111-111111111111-4711";
    /// The same first group.
    const B: &str = "1f3a9b2c-2222-4222-8222-222222222222-4711";
    /// The same data directory as `A`.
    const A2: &str = "1f3a9b2c-1111-4111-8111-111111111111-47";

    fn short(ids: &[&str]) -> Vec<String> {
        let parsed: Vec<InstanceId> = ids.iter().map(|id| InstanceId::parse(id).expect("an id")).collect();
        let shorts = ShortIds::of(&parsed);
        ids.iter().map(|id| shorts.short(id).to_owned()).collect()
    }

    #[test]
    fn a_generated_id_is_as_short_as_it_is_unique() {
        assert_eq!(short(&[A, "desk-2"]), ["1f3a9b2c", "desk-2"]);
        assert_eq!(short(&[A, B]), ["1f3a9b2c-1", "1f3a9b2c-2"]);
        assert_eq!(short(&[A, A2]), ["1f3a9b2c-4711", "1f3a9b2c-47"]);
        // A chosen id that begins like a generated one.
        assert_eq!(short(&["1f3a9b2c", A]), ["1f3a9b2c", "1f3a9b2c-"]);
    }

    #[test]
    fn every_short_form_names_its_id() {
        for ids in [&[A, B][..], &[A, A2], &[A, A2, B, "desk-2", "desk-21"]] {
            for (id, short) in ids.iter().zip(short(ids)) {
                let named: Vec<_> = ids.iter().filter(|id| means(&short, id)).collect();
                assert!(named == [id] || short == *id, "{short}: {named:?}");
            }
        }
    }

    #[test]
    fn an_id_is_named_by_any_unique_beginning() {
        let ids = [A, B, "desk-2", "desk-21"].map(|id| InstanceId::parse(id).expect("an id"));
        for (text, id) in [("1f3a9b2c-1", A), ("desk-2", "desk-2"), ("desk-21", "desk-21"), (B, B)] {
            assert_eq!(named(text, &ids).map(InstanceId::as_str), Ok(id), "{text}");
        }
        assert!(named("desk", &ids).is_err_and(|why| why.contains("desk-2, desk-21")));
        assert!(named("other", &ids).is_err_and(|why| why.contains("no instance other")));
    }

    #[test]
    fn a_text_has_the_short_form_of_each_id() {
        let ids = [InstanceId::parse(A).expect("an id")];
        let text = ShortIds::of(&ids).shorten(&format!("{A} leads, {A} acts"));
        assert_eq!(text, "1f3a9b2c leads, 1f3a9b2c acts");
    }
}
