//! What a server says of itself.

use std::sync::Arc;

use model::ErrorKind;
use model::spec::Tls;

use super::catalog::cell_text;
use super::session::{Lease, Pool, Reads};
use crate::ServerInfo;
use crate::config::Role;
use crate::error::Result;

pub(super) async fn server(pool: &Arc<Pool>) -> Result<ServerInfo> {
    let operation = format!("connect to {}", pool.config.spec.address());
    let mut lease = pool.lease(&operation).await?;
    let server = lease.server().clone();
    let is_updatable = is_updatable(&mut lease, &operation).await?;
    let encrypted = is_encrypted(&mut lease, &operation).await?.or(match pool.config.spec.tls {
        Tls::Verify | Tls::Insecure => Some(true),
        Tls::Off => Some(false),
    });
    lease.release();
    let mut notes = Vec::new();
    if encrypted == Some(false) && pool.config.spec.tls != Tls::Off {
        notes.push("the connection is not encrypted".to_owned());
    }
    if pool.config.role == Role::Source && server.reads == Reads::Locked {
        notes.push(
            "rows are locked while they are read, and writers wait: ALTER DATABASE .. SET \
             ALLOW_SNAPSHOT_ISOLATION ON lets both go on"
                .to_owned(),
        );
    }
    if !server.text_is_utf16 {
        notes
            .push("the server does not tell text as UTF-16: half characters are read as \u{fffd}".to_owned());
    }
    let writable = pool.config.role == Role::Target && is_updatable;
    Ok(ServerInfo { version: server.version, writable, encrypted, notes })
}

pub(super) async fn is_updatable(lease: &mut Lease, operation: &str) -> Result<bool> {
    let sql = "SELECT CAST(DATABASEPROPERTYEX(DB_NAME(), 'Updateability') AS nvarchar(128))";
    let rows = lease.rows(operation, sql.to_owned()).await?;
    Ok(rows.first().and_then(|row| cell_text(row, 0)).is_none_or(|text| text != "READ_ONLY"))
}

/// `None` for a user who may not see it.
async fn is_encrypted(lease: &mut Lease, operation: &str) -> Result<Option<bool>> {
    let sql = "SELECT c.encrypt_option FROM sys.dm_exec_connections AS c WHERE c.session_id = @@SPID";
    match lease.rows(operation, sql.to_owned()).await {
        Ok(rows) => Ok(rows.first().and_then(|row| cell_text(row, 0)).map(|text| text == "TRUE")),
        Err(failed) if matches!(failed.kind, ErrorKind::Permission | ErrorKind::Unsupported) => Ok(None),
        Err(failed) => Err(failed),
    }
}
