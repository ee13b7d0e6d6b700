//! "Did you mean": finds the known name that is nearest to a mistyped one.

/// Most wrong letters of a mistyped name. Beyond this number a guess would not help.
const DISTANCE_MAX: usize = 3;

/// Longest name that is compared: twice our longest.
const LEN_MAX: usize = 64;

/// The nearest of `known`, if it is near enough.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LEN_MAX {
        return None;
    }
    known
        .map(|known| (distance(name, known), known))
        // At least one letter of a short name must be right.
        .filter(|(distance, known)| *distance <= DISTANCE_MAX.min(known.len() / 2))
        .min()
        .map(|(_, known)| known)
}

/// Number of letters to insert, remove or replace to get from `a` to `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    // Distances from the part of `a` so far to every beginning of `b`.
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_letters() {
        let pairs = [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("abc", "abc", 0)];
        let more = [("kitten", "sitting", 3), ("flaw", "lawn", 2), ("abc", "acb", 2)];
        for (a, b, expected) in pairs.into_iter().chain(more) {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn guesses_only_a_near_name() {
        let known = ["group", "listen", "leader_ttl", "redis.url"];
        let guess = |name| nearest(name, known.into_iter());
        assert_eq!(guess("leader-ttl"), Some("leader_ttl"));
        assert_eq!(guess("redis.uri"), Some("redis.url"));
        assert_eq!(guess("grp"), Some("group"));
        assert_eq!(guess("colour"), None);
        assert_eq!(guess(&"g".repeat(100)), None);
    }
}
