//! One SQLite file as the database that decides.

use crate::error::OpenError;
use adapter_sqlite::{SqliteConfig, SqliteStore};
use domain::identity::Identity;
use domain::recovery::RelationName;
use std::path::{Path, PathBuf};

/// One SQLite file, for instances on one machine. The file and its directory are created when they do not exist.
#[derive(Debug, Clone)]
pub struct Sqlite {
    path: PathBuf,
    relations: Option<[String; 2]>,
}

impl Sqlite {
    /// The file at `path`, on a disk of this machine: SQLite's locks do not work on a network file system.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), relations: None }
    }

    /// The tables or views that the recovery of a portfolio reads; `portfolio_positions` and `portfolio_state` unless set.
    #[must_use]
    pub fn portfolio_relations(self, positions: impl Into<String>, portfolio: impl Into<String>) -> Self {
        Self { relations: Some([positions.into(), portfolio.into()]), ..self }
    }

    pub(crate) fn directory(&self) -> PathBuf {
        let path = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        path.parent().unwrap_or(Path::new(".")).to_owned()
    }

    /// The directory of the processes' lock files, next to the database file.
    pub(crate) fn processes(&self) -> PathBuf {
        let path = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        let mut name = path.into_os_string();
        name.push("-processes");
        name.into()
    }

    pub(crate) fn open(&self, identity: &Identity) -> Result<SqliteStore, OpenError> {
        let config = SqliteConfig::new(&self.path, identity.clone());
        let config = match &self.relations {
            Some([positions, portfolio]) => {
                let positions = RelationName::parse(positions).map_err(OpenError::because)?;
                let portfolio = RelationName::parse(portfolio).map_err(OpenError::because)?;
                config.with_relations(&positions, &portfolio).map_err(OpenError::because)?
            }
            None => config,
        };
        Ok(SqliteStore::new(config))
    }
}
