//! A login that takes no time: many processes log in at once here, unoptimised, and what is tested is something else.

use crate::database::Database;

/// A role of which a login takes one round of its hash, as nobody should have it. The client's library yields after
/// every fifth of the usual 4096, which would be 819 suspensions that are all the same.
const ROLE: &str = "CREATE ROLE quick SUPERUSER LOGIN PASSWORD
    'SCRAM-SHA-256$1:b25seS1mb3ItdGVzdHMhIQ==$fAFcu2bbpQ4Yk5stg0dTWjM1r1vfiJ15qlhxE3lQv7Q=:7tPEvdBJGKJvaeLKAldpQQ/H1JOS9ZlDZp++ANoqySA='";
/// Its name and password, as a URL has them.
const LOGIN: &str = "postgres://quick:quick@";

/// Creates the role on the server of that URL.
pub fn create(server: &str) {
    Database::Postgres(server.to_owned()).execute(ROLE);
}

/// The URL, with that login.
pub fn login(url: &str) -> String {
    let (_, place) = url.split_once('@').expect("a URL with a login");
    format!("{LOGIN}{place}")
}
