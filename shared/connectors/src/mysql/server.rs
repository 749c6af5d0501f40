//! What a server says of itself.

use std::sync::Arc;

use model::ErrorKind;
use model::spec::Tls;

use super::catalog::cell_text;
use super::session::{Lease, Pool, Server};
use crate::ServerInfo;
use crate::config::Role;
use crate::error::Result;

/// Below this a statement holds too few rows to be worth its round trip.
const PACKET_WANTED: usize = 4 << 20;

pub(super) async fn server(pool: &Arc<Pool>) -> Result<ServerInfo> {
    let operation = format!("connect to {}", pool.config.spec.address());
    let mut lease = pool.lease(&operation).await?;
    let rows = lease.rows(&operation, "SHOW SESSION STATUS LIKE 'Ssl_cipher'".to_owned()).await?;
    let cipher = rows.first().and_then(|row| cell_text(row, 1)).unwrap_or_default();
    let over_socket = pool.config.spec.host.as_deref().is_some_and(|host| host.starts_with('/'));
    let encrypted = if over_socket && cipher.is_empty() { None } else { Some(!cipher.is_empty()) };
    let server = lease.server().clone();
    let mut notes = settings(&mut lease, &server, pool.config.role, &operation).await?;
    if encrypted == Some(false) && pool.config.spec.tls != Tls::Off {
        notes.push("the connection is not encrypted".to_owned());
    }
    let writable = pool.config.role == Role::Target && accepts_writes(&mut lease, &operation).await?;
    lease.release();
    Ok(ServerInfo { version: server.version, writable, encrypted, notes })
}

/// Opening a transaction for writing is refused by a read-only server, and only for those it is read-only for.
pub(super) async fn open_for_writing(lease: &mut Lease, operation: &str) -> Result<()> {
    lease.run(operation, "START TRANSACTION READ WRITE; ROLLBACK".to_owned()).await.map(|_| ())
}

async fn accepts_writes(lease: &mut Lease, operation: &str) -> Result<bool> {
    match open_for_writing(lease, operation).await {
        Ok(()) => Ok(true),
        Err(error) if error.kind == ErrorKind::ReadOnly => Ok(false),
        Err(error) => Err(error),
    }
}

async fn settings(lease: &mut Lease, server: &Server, role: Role, operation: &str) -> Result<Vec<String>> {
    let sql =
        "SELECT @@explicit_defaults_for_timestamp, @@innodb_flush_log_at_trx_commit, @@version".to_owned();
    let rows = lease.rows(operation, sql).await?;
    let text = |at| rows.first().and_then(|row| cell_text(row, at)).unwrap_or_default();
    let mut notes = Vec::new();
    if server.packet_max < PACKET_WANTED {
        notes.push(format!(
            "max_allowed_packet is {} bytes: longer rows are quarantined, and statements are small",
            server.packet_max
        ));
    }
    if role == Role::Target && text(0) == "0" {
        notes.push(
            "explicit_defaults_for_timestamp is off: NULL becomes the current time in NOT NULL columns"
                .to_owned(),
        );
    }
    if role == Role::Target && text(1) != "1" {
        notes.push(format!(
            "innodb_flush_log_at_trx_commit is {}: a power cut at the server may undo chunks that were done",
            text(1)
        ));
    }
    Ok(notes)
}
