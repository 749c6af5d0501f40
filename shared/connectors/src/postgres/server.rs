//! What a server says of itself.

use std::sync::Arc;

use model::spec::Tls;

use super::catalog::cell_text;
use super::session::Pool;
use crate::ServerInfo;
use crate::config::Role;
use crate::error::Result;

pub(super) async fn server(pool: &Arc<Pool>) -> Result<ServerInfo> {
    let operation = format!("connect to {}", pool.config.spec.address());
    let mut lease = pool.lease(&operation).await?;
    let sql = "SELECT COALESCE((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false), \
         inet_server_addr() IS NULL, pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on', \
         current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'), \
         current_setting('server_encoding')";
    let rows = lease.rows(&operation, sql.to_owned()).await?;
    let server = lease.server().clone();
    lease.release();
    let text = |at| rows.first().and_then(|row| cell_text(row, at)).unwrap_or_default();
    let (is_target, over_socket) = (pool.config.role == Role::Target, text(1) == "t");
    let encrypted = if over_socket { None } else { Some(text(0) == "t") };
    let mut notes = Vec::new();
    if encrypted == Some(false) && pool.config.spec.tls != Tls::Off {
        notes.push("the connection is not encrypted".to_owned());
    }
    for (name, value) in [("fsync", text(3)), ("full_page_writes", text(4)), ("synchronous_commit", text(5))]
    {
        if is_target && value == "off" {
            notes.push(format!("{name} is off: a power cut at the server may undo chunks that were done"));
        }
    }
    if is_target && text(6) != "UTF8" {
        notes.push(format!("the database keeps text as {}: other characters are quarantined", text(6)));
    }
    if server.schema.is_none() {
        notes.push("no schema of the search path exists: name one, or set search_path".to_owned());
    }
    Ok(ServerInfo { version: server.version, writable: is_target && text(2) == "f", encrypted, notes })
}
