//! [`Source`]: a value that is read again for each use.

use std::fmt;
use std::sync::Arc;

/// Returns a value for one use, so that a renewed file needs no restart.
#[derive(Clone)]
pub struct Source<T>(Arc<dyn Fn() -> Result<T, String> + Send + Sync>);

/// The TLS settings for the next connection.
pub type TlsSource = Source<Arc<rustls::ClientConfig>>;
/// A secret for the next request.
pub type SecretSource = Source<String>;

impl<T> Source<T> {
    /// The error of `read` says why there is no value, as a sentence, and shows nothing of a secret. It must not block for
    /// longer than reading a small file takes.
    pub fn new(read: impl Fn() -> Result<T, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    pub(super) fn get(&self) -> Result<T, String> {
        (self.0)()
    }
}

/// Shows nothing of the value.
impl<T> fmt::Debug for Source<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}
