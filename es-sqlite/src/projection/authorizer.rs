//! What SQL of a projection may not do: end our transaction, leave the file, touch our tables.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use rusqlite::{
    Connection,
    hooks::{AuthAction, AuthContext, Authorization, TransactionOperation},
};

/// Watches a connection while hooks and migrations run on it.
///
/// The authorizer looks at statements when they are prepared. Ours are prepared outside a watch, and written so that
/// no hook's statement is taken for one of them in the statement cache.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guard {
    watching: Arc<AtomicBool>,
    refused: Arc<Mutex<Option<String>>>,
}

impl Guard {
    /// Has the connection ask this guard about every statement it prepares.
    pub(crate) fn install(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let guard = self.clone();
        connection.authorizer(Some(move |context: AuthContext<'_>| {
            if !guard.watching.load(Ordering::Relaxed) {
                return Authorization::Allow;
            }
            match refusal(context.action) {
                None => Authorization::Allow,
                Some(why) => {
                    *guard.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
                    Authorization::Deny
                }
            }
        }))
    }

    /// Runs code of a projection under watch.
    pub(crate) fn watch<T>(&self, run: impl FnOnce() -> T) -> T {
        struct Off<'g>(&'g AtomicBool);
        impl Drop for Off<'_> {
            fn drop(&mut self) {
                self.0.store(false, Ordering::Relaxed);
            }
        }
        self.watching.store(true, Ordering::Relaxed);
        let _off = Off(&self.watching);
        run()
    }

    /// The error of a statement, with the reason if this guard refused it.
    pub(crate) fn explain(&self, error: rusqlite::Error) -> rusqlite::Error {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (error, refused) {
            (rusqlite::Error::SqliteFailure(code, _), Some(why))
                if code.code == rusqlite::ErrorCode::AuthorizationForStatementDenied =>
            {
                rusqlite::Error::SqliteFailure(code, Some(why))
            }
            (error, _) => error,
        }
    }
}

/// Pragmas that only look. SQLite itself runs the first two: for ALTER TABLE and for full-text search.
const HARMLESS: [&str; 4] = ["quick_check", "data_version", "table_info", "table_xinfo"];

/// Why a statement is refused, if it is.
fn refusal(action: AuthAction<'_>) -> Option<String> {
    use AuthAction as A;
    let ours =
        |name: &str| is_ours(name).then(|| format!("{name} is refused: it is not one of the projection's own tables"));
    match action {
        A::Transaction { operation } => {
            let what = match operation {
                TransactionOperation::Begin => "BEGIN",
                TransactionOperation::Rollback => "ROLLBACK",
                _ => "COMMIT",
            };
            Some(format!("{what} is refused: a projection can't begin or end the transaction it runs in"))
        }
        A::Savepoint { .. } => Some("SAVEPOINT and RELEASE are refused inside a projection".into()),
        A::Attach { .. } | A::Detach { .. } => Some("ATTACH and DETACH are refused inside a projection".into()),
        A::Pragma { pragma_name, .. } if HARMLESS.iter().any(|name| pragma_name.eq_ignore_ascii_case(name)) => None,
        // What the R-tree module asks.
        A::Pragma { pragma_name, pragma_value: None } if pragma_name.eq_ignore_ascii_case("page_size") => None,
        A::Pragma { pragma_name, .. } => Some(format!("PRAGMA {pragma_name} is refused inside a projection")),
        A::Insert { table_name }
        | A::Update { table_name, .. }
        | A::Delete { table_name }
        | A::CreateTable { table_name }
        | A::CreateTempTable { table_name }
        | A::DropTable { table_name }
        | A::DropTempTable { table_name }
        | A::AlterTable { table_name, .. }
        | A::CreateVtable { table_name, .. }
        | A::DropVtable { table_name, .. } => ours(table_name),
        A::CreateIndex { index_name: name, table_name }
        | A::CreateTempIndex { index_name: name, table_name }
        | A::DropIndex { index_name: name, table_name }
        | A::DropTempIndex { index_name: name, table_name }
        | A::CreateTrigger { trigger_name: name, table_name }
        | A::CreateTempTrigger { trigger_name: name, table_name }
        | A::DropTrigger { trigger_name: name, table_name }
        | A::DropTempTrigger { trigger_name: name, table_name } => ours(name).or_else(|| ours(table_name)),
        A::CreateView { view_name }
        | A::CreateTempView { view_name }
        | A::DropView { view_name }
        | A::DropTempView { view_name } => ours(view_name),
        A::Function { function_name } if function_name.eq_ignore_ascii_case("load_extension") => {
            Some("load_extension is refused inside a projection".into())
        }
        _ => None,
    }
}

/// Whether a name is kept for the store. SQLite's names know no case.
pub(super) fn is_ours(name: &str) -> bool {
    name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("es_"))
}
