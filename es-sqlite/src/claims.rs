//! Unique keys: who holds which.

use es_core::{ClaimChange, Tenant};
use rusqlite::{Connection, OptionalExtension};

use crate::schema;

/// The number of the stream that holds a key.
pub(crate) fn holder(
    connection: &Connection,
    tenant: Option<&Tenant>,
    constraint: &str,
    key: &str,
) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT stream FROM es_claims WHERE tenant = ?1 AND constraint_name = ?2 AND key = ?3")?
        .query_row((schema::tenant(tenant), constraint, key), |row| row.get(0))
        .optional()
}

/// Takes a key for a stream or gives it back. Taking one's own key again, or giving back what one does not hold,
/// changes nothing.
pub(crate) fn change(
    connection: &Connection,
    tenant: Option<&Tenant>,
    change: &ClaimChange,
    stream: i64,
) -> rusqlite::Result<()> {
    let sql = if change.release {
        "DELETE FROM es_claims WHERE tenant = ?1 AND constraint_name = ?2 AND key = ?3 AND stream = ?4"
    } else {
        // Another's key is found before anything is written; this guard would end the whole transaction.
        "INSERT INTO es_claims (tenant, constraint_name, key, stream) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET stream = CASE stream WHEN excluded.stream THEN stream END"
    };
    connection.prepare_cached(sql)?.execute((schema::tenant(tenant), &change.constraint, &change.key, stream))?;
    Ok(())
}
