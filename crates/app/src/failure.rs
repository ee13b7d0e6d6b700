//! [`Failure`]: the message and the exit code of a command that failed.

/// The message for standard error, and the exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A sentence, or a line for each fault.
    pub message: String,
    /// 1: the command failed. 2: it cannot succeed until the operator changes the command line or the
    /// configuration.
    pub exit_code: u8,
}

impl Failure {
    /// The operator must change the command line, the configuration or the database first.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: 2 }
    }

    /// The command failed.
    pub fn other(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: 1 }
    }
}
