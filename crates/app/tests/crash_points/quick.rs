//! A role with a fast login: several unoptimised processes log in at once here, and the login is not under test.

use crate::database::Database;

/// A role whose login takes one round of its hash, which is unsafe outside of tests. The client's library
/// yields after every fifth of the usual 4096 rounds, which would be 819 equal suspensions.
const ROLE: &str = "CREATE ROLE quick SUPERUSER LOGIN PASSWORD
    'SCRAM-SHA-256$1:b25seS1mb3ItdGVzdHMhIQ==$fAFcu2bbpQ4Yk5stg0dTWjM1r1vfiJ15qlhxE3lQv7Q=:7tPEvdBJGKJvaeLKAldpQQ/H1JOS9ZlDZp++ANoqySA='";
/// Name and password of the role, in the form of a URL.
const LOGIN: &str = "postgres://quick:quick@";

/// Creates the role on the server of that URL.
pub fn create(server: &str) {
    Database::Postgres(server.to_owned()).execute(ROLE);
}

/// The URL with that login.
pub fn login(url: &str) -> String {
    let (_, place) = url.split_once('@').expect("a URL with a login");
    format!("{LOGIN}{place}")
}
