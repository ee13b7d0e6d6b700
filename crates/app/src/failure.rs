//! How a command ends badly: what to tell, and the exit code.

/// For standard error, and the exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A sentence, or a line for each fault.
    pub message: String,
    /// 1: it did not work. 2: it cannot work until somebody changes the call or the configuration.
    pub exit_code: u8,
}

impl Failure {
    /// Somebody has to change the call, the configuration or the database first.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: 2 }
    }

    /// It did not work.
    pub fn other(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: 1 }
    }
}
