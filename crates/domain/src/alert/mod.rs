//! Alerts, evaluated in process.

/// How bad it is. Ordered: the worst wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Status {
    /// Nothing to do.
    #[default]
    Ok,
    /// Look into it.
    Warning,
    /// Act now.
    Critical,
}

impl Status {
    /// As the JSON page writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
        }
    }

    /// As Prometheus and the instance table carry it: 0, 1, 2.
    pub fn as_number(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
        }
    }

    /// The status of that number; anything beyond 2 is critical.
    pub fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Ok,
            1 => Self::Warning,
            2.. => Self::Critical,
        }
    }
}
