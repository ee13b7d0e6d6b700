//! The part of Redis's protocol that a test needs to query a server without an adapter.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Timeout of a test's own queries; generous, because their speed is not under test.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// An answer of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A status, such as `OK`.
    Status(String),
    /// An error with the server's text.
    Error(String),
    /// A whole number.
    Number(i64),
    /// A value.
    Value(Vec<u8>),
    /// The value does not exist.
    Nil,
    /// Several answers.
    List(Vec<Reply>),
}

/// Sends one command on a separate connection.
pub(super) fn command(address: &str, arguments: &[impl AsRef<[u8]>]) -> std::io::Result<Reply> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
    let mut request = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments.iter().map(AsRef::as_ref) {
        request.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        request.extend_from_slice(argument);
        request.extend_from_slice(b"\r\n");
    }
    stream.write_all(&request)?;
    read(&mut BufReader::new(stream))
}

fn read(from: &mut impl BufRead) -> std::io::Result<Reply> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let line = line.trim_end();
    let (kind, rest) = line.split_at_checked(1).ok_or_else(|| malformed(line))?;
    let number = || rest.parse::<i64>().map_err(|_| malformed(line));
    Ok(match kind {
        "+" => Reply::Status(rest.to_owned()),
        "-" => Reply::Error(rest.to_owned()),
        ":" => Reply::Number(number()?),
        "$" => match usize::try_from(number()?) {
            Ok(length) => Reply::Value(value(from, length)?),
            Err(_) => Reply::Nil,
        },
        "*" => match usize::try_from(number()?) {
            Ok(count) => Reply::List((0..count).map(|_| read(from)).collect::<Result<_, _>>()?),
            Err(_) => Reply::Nil,
        },
        _ => return Err(malformed(line)),
    })
}

fn value(from: &mut impl Read, length: usize) -> std::io::Result<Vec<u8>> {
    let mut value = vec![0; length + b"\r\n".len()];
    from.read_exact(&mut value)?;
    value.truncate(length);
    Ok(value)
}

fn malformed(line: &str) -> std::io::Error {
    std::io::Error::other(format!("not an answer of Redis: {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_answer_is_read() {
        let mut wire: &[u8] = b"*6\r\n+OK\r\n-ERR no\r\n:-2\r\n$4\r\na\r\nb\r\n$-1\r\n*0\r\n";
        let expected = [
            Reply::Status("OK".into()),
            Reply::Error("ERR no".into()),
            Reply::Number(-2),
            Reply::Value(b"a\r\nb".to_vec()),
            Reply::Nil,
            Reply::List(vec![]),
        ];
        assert_eq!(read(&mut wire).unwrap(), Reply::List(expected.to_vec()));
    }

    #[test]
    fn a_closed_connection_is_an_error() {
        assert!(read(&mut &b""[..]).is_err());
        assert!(read(&mut &b"$10\r\nshort"[..]).is_err());
    }
}
