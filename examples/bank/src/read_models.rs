//! What the bank shows: two tables made from the events, and the queries that read them.

use es_core::{AppError, EventMeta, QueryContext, Result};
use es_sqlite::{HookResult, SqliteProjection, SqliteProjectionBuilder, Tx};

use crate::bank::v1::{
    AccountHooks, AccountQueryService, AccountView, GetStatementRequest, ListAccountsRequest, ListAccountsResponse,
    Statement, StatementLine,
};

/// The balance of every account.
pub fn balances() -> SqliteProjectionBuilder {
    let add = |tx: &Tx<'_>, account_id: &str, cents: i64| -> HookResult {
        tx.run("UPDATE balance SET cents = cents + ?2 WHERE account_id = ?1", (account_id, cents))
    };
    SqliteProjection::builder("balances")
        .migration(
            "CREATE TABLE balance (
                 account_id TEXT PRIMARY KEY,
                 owner      TEXT NOT NULL,
                 cents      INTEGER NOT NULL,
                 open       INTEGER NOT NULL
             ) STRICT",
        )
        .on_account_opened(|tx, event, _meta| {
            tx.run("INSERT INTO balance VALUES (?1, ?2, 0, TRUE)", (&event.account_id, &event.owner))
        })
        .on_money_deposited(move |tx, event, _meta| add(tx, &event.account_id, event.cents))
        .on_money_withdrawn(move |tx, event, _meta| add(tx, &event.account_id, -event.cents))
        .on_transfer_sent(move |tx, event, _meta| add(tx, &event.account_id, -event.cents))
        .on_transfer_received(move |tx, event, _meta| add(tx, &event.account_id, event.cents))
        .on_account_closed(|tx, event, _meta| {
            tx.run("UPDATE balance SET open = FALSE WHERE account_id = ?1", [&event.account_id])
        })
}

/// One line for everything that moved an account's balance.
pub fn statements() -> SqliteProjectionBuilder {
    let line = |tx: &Tx<'_>, meta: &EventMeta, text: &str, cents: i64| -> HookResult {
        tx.run(
            "INSERT INTO statement_line
             SELECT ?1, ?2, ?3, ?4, ?5, ?5 + coalesce(
                 (SELECT balance FROM statement_line WHERE account_id = ?1 ORDER BY version DESC LIMIT 1), 0)",
            (meta.stream.id.as_str(), meta.version, meta.recorded_at.as_micros(), text, cents),
        )
    };
    SqliteProjection::builder("statements")
        .migration(
            "CREATE TABLE statement_line (
                 account_id TEXT NOT NULL,
                 version    INTEGER NOT NULL,
                 at         INTEGER NOT NULL,
                 text       TEXT NOT NULL,
                 cents      INTEGER NOT NULL,
                 balance    INTEGER NOT NULL,
                 PRIMARY KEY (account_id, version)
             ) STRICT, WITHOUT ROWID",
        )
        .on_money_deposited(move |tx, event, meta| line(tx, meta, "deposit", event.cents))
        .on_money_withdrawn(move |tx, event, meta| line(tx, meta, "withdrawal", -event.cents))
        .on_transfer_sent(move |tx, event, meta| line(tx, meta, &format!("to {}", event.to_owner), -event.cents))
        .on_transfer_received(move |tx, event, meta| line(tx, meta, &format!("from {}", event.from_owner), event.cents))
}

/// All accounts, by their owners' names.
///
/// # Errors
/// Where the table can't be read.
pub async fn list(balances: &SqliteProjection, _: ListAccountsRequest) -> Result<ListAccountsResponse> {
    let accounts = balances.query(|tx| {
        tx.query("SELECT account_id, owner, cents, open FROM balance ORDER BY owner", [], |row| {
            Ok(AccountView {
                account_id: row.get(0)?,
                owner: row.get(1)?,
                balance_cents: row.get(2)?,
                open: row.get(3)?,
            })
        })
    });
    Ok(ListAccountsResponse { accounts: accounts.await? })
}

/// Answers queries from the read models.
#[derive(Debug)]
pub struct Queries {
    /// Where balances are read.
    pub balances: SqliteProjection,
    /// Where statements are read.
    pub statements: SqliteProjection,
}

impl AccountQueryService for Queries {
    async fn list_accounts(
        &self,
        query: ListAccountsRequest,
        _: &QueryContext,
    ) -> Result<ListAccountsResponse, AppError> {
        Ok(list(&self.balances, query).await?)
    }

    async fn get_statement(&self, request: GetStatementRequest, _: &QueryContext) -> Result<Statement, AppError> {
        let lines = self.statements.query(move |tx| {
            tx.query(
                "SELECT at, text, cents, balance FROM statement_line WHERE account_id = ?1 ORDER BY version",
                [&request.account_id],
                |row| {
                    Ok(StatementLine {
                        at: Some(es_core::Timestamp::from_micros(row.get(0)?).into()),
                        text: row.get(1)?,
                        cents: row.get(2)?,
                        balance_cents: row.get(3)?,
                    })
                },
            )
        });
        Ok(Statement { lines: lines.await? })
    }
}
