//! The tokens file of an instance: read at the start, and again when it changes or SIGHUP arrives. A file with a fault
//! changes nothing, because an instance that refuses every client would lose signals.

mod append;
mod file;

pub use append::append;
pub use file::{entry, parse, read};

use crate::failure::Failure;
use adapter_http::{Access, Credential};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Time between two reads of the file: a revoked token works for at most this time longer.
const READ_AGAIN: Duration = Duration::from_secs(2);

/// The credentials of the file at `path`, which [`follow`] keeps up to date.
///
/// # Errors
/// The fault of the file.
pub fn open(path: &Path) -> Result<(Arc<Access>, String), Failure> {
    let (credentials, text) = valid(path)?;
    report(path, &credentials);
    Ok((Arc::new(Access::new(credentials)), text))
}

/// Checks the file at `path` and uses nothing of it.
///
/// # Errors
/// The fault of the file.
pub fn check(path: &Path) -> Result<(), Failure> {
    valid(path).map(drop)
}

fn valid(path: &Path) -> Result<(Vec<Credential>, String), Failure> {
    let fault = |why: String| Failure::usage(format!("access.tokens_file {}: {why}", path.display()));
    let text = read(path).map_err(fault)?;
    Ok((parse(&text).map_err(fault)?, text))
}

/// Reads the file again until the returned future is dropped. `text` is its last content.
pub async fn follow(path: PathBuf, access: Arc<Access>, text: String) {
    let mut last = Ok(text);
    // Without the handler, the file is still read after each pause.
    let mut hangup = signal(SignalKind::hangup()).ok();
    let mut previous = None;
    loop {
        let asked = async {
            match &mut hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        let asked = matches!(timeout(READ_AGAIN, asked).await, Ok(Some(())));
        let wanted = path.clone();
        let Ok(found) = spawn_blocking(move || read(&wanted)).await else { continue };
        // A file may be read while it is written, so a change is used once two reads in a row agree.
        let is_settled = previous.replace(found.clone()) == Some(found.clone());
        if !asked && (found == last || !is_settled) {
            continue;
        }
        match found.as_deref().map_err(Clone::clone).and_then(parse) {
            Ok(credentials) if credentials.is_empty() => tracing::warn!(
                "the tokens file {} is empty, so it is not used; the former credentials remain valid. To refuse everybody, \
                 restart the instance with that file",
                path.display()
            ),
            Ok(credentials) => {
                report(&path, &credentials);
                access.replace(credentials);
            }
            Err(why) => tracing::warn!(
                "the tokens file {} is not used: {why}; the former credentials remain valid",
                path.display()
            ),
        }
        last = found;
    }
}

/// Logs how many credentials there are. Names are no secrets, but hashes are not needed in a log.
fn report(path: &Path, credentials: &[Credential]) {
    let path = path.display();
    match credentials.len() {
        0 => tracing::warn!("the tokens file {path} has no credential: only the probes are answered"),
        n => tracing::info!(credentials = n, "read the tokens file {path}"),
    }
}
