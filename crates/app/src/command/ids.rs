//! Short forms of ids for a terminal, and the ids that an operator means by them.

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

/// The one of `ids` that an operator means by `text`: the whole id, or a unique prefix of it, or its short form. The
/// error says what is wrong, and names the ids that it could be.
#[allow(dead_code, reason = "no command takes the id of an instance yet")]
pub fn meant<'a>(text: &str, ids: impl IntoIterator<Item = &'a str>) -> Result<&'a str, String> {
    let ids: Vec<&str> = ids.into_iter().filter(|id| means(text, id)).collect();
    match ids[..] {
        [] => Err(format!("no id is {text:?} or begins with it")),
        [one] => Ok(one),
        _ => match ids.iter().find(|id| **id == text) {
            Some(whole) => Ok(whole),
            None => Err(format!("{text:?} is not unique: {}", ids.join(", "))),
        },
    }
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
                assert_eq!(meant(&short, ids.iter().copied()), Ok(*id), "{short}");
                assert_eq!(meant(id, ids.iter().copied()), Ok(*id));
            }
        }
    }

    #[test]
    fn a_prefix_that_is_not_unique_is_refused_with_the_candidates() {
        assert_eq!(
            meant("desk-2", ["desk-21", "desk-22"]),
            Err("\"desk-2\" is not unique: desk-21, desk-22".to_owned())
        );
        assert_eq!(meant("desk-2", ["desk-2", "desk-21"]), Ok("desk-2"), "the whole id");
        assert_eq!(meant("x", ["desk-2"]), Err("no id is \"x\" or begins with it".to_owned()));
    }

    #[test]
    fn a_text_has_the_short_form_of_each_id() {
        let ids = [InstanceId::parse(A).expect("an id")];
        let text = ShortIds::of(&ids).shorten(&format!("{A} leads, {A} acts"));
        assert_eq!(text, "1f3a9b2c leads, 1f3a9b2c acts");
    }
}
