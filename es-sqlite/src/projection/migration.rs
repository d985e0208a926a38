//! One migration: the SQL that makes or changes tables, and the SQL that takes that back.

use std::borrow::Cow;

/// SQL that creates or changes a read model's tables, views, indexes and triggers: several statements if need be,
/// separated by semicolons. A text is a migration without a [`down`](Self::down).
///
/// ```
/// use es_sqlite::Migration;
///
/// # let _ =
/// Migration::new("CREATE INDEX by_owner ON account (owner)").down("DROP INDEX by_owner");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    pub(super) up: Cow<'static, str>,
    pub(super) down: Option<Cow<'static, str>>,
}

impl Migration {
    /// A migration by its SQL.
    #[must_use]
    pub fn new(up: impl Into<Cow<'static, str>>) -> Self {
        Self { up: up.into(), down: None }
    }

    /// Says how to take it back. This SQL is stored in the file when the migration is applied, so that an older version
    /// of the program, which does not know the migration, can take it back when it builds the projection.
    #[must_use]
    pub fn down(mut self, sql: impl Into<Cow<'static, str>>) -> Self {
        self.down = Some(sql.into());
        self
    }
}

impl From<&'static str> for Migration {
    fn from(up: &'static str) -> Self {
        Self::new(up)
    }
}

impl From<String> for Migration {
    fn from(up: String) -> Self {
        Self::new(up)
    }
}

impl From<Cow<'static, str>> for Migration {
    fn from(up: Cow<'static, str>) -> Self {
        Self::new(up)
    }
}

/// Migrations from files, embedded into the program when it is compiled. Paths are relative to the file that this is
/// written in; after `=>` stands the file that takes a migration back.
///
/// It makes an array of [`Migration`]s, for
/// [`migrations`](crate::SqliteProjectionBuilder::migrations):
///
/// ```
/// # use es_sqlite::SqliteProjection;
/// # let _ =
/// SqliteProjection::builder("balances").migrations(es_sqlite::migrations!(
///     "../../tests/sql/1_balance.sql",
///     "../../tests/sql/2_index.sql" => "../../tests/sql/2_index.down.sql",
/// ));
/// ```
#[macro_export]
macro_rules! migrations {
    ($($up:literal $(=> $down:literal)?),+ $(,)?) => {
        [$($crate::Migration::new(include_str!($up))$(.down(include_str!($down)))?),+]
    };
}
