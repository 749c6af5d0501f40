//! Where the HTTP API listens, and where it must not.

use std::net::SocketAddr;

use ledger::Ledger;
use service::Problem;
use service::problem::code;
use tokio::net::TcpListener;

use super::context::ledger_problem;

/// The address that was asked for; `off` is none.
pub(super) fn address(text: &str) -> Result<Option<SocketAddr>, Problem> {
    if text == "off" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        let detail = format!("`{text}` is no address to listen at");
        Problem::new(code::BAD_SETTING, detail, "an IP address and a port, such as 127.0.0.1:7733, or off")
    })
}

/// Opens the address. One that others can reach is refused unless they must bring a token, which nobody can read on its
/// way.
pub(super) async fn bind(
    address: SocketAddr,
    behind_proxy: bool,
    ledger: &Ledger,
) -> Result<TcpListener, Problem> {
    if !address.ip().is_loopback() {
        let refuse = |detail: &str, next: &str| {
            Err(Problem::new(code::OPEN_LISTENER, format!("{address}: {detail}"), next))
        };
        if !ledger.has_tokens().await.map_err(|e| ledger_problem(&e))? {
            return refuse(
                "anybody could command this service: there is no token yet",
                "syncline token create --role operator",
            );
        }
        if !behind_proxy {
            let detail = "tokens would go over the network in the clear";
            return refuse(detail, "listen at 127.0.0.1 behind a proxy with TLS, or say --behind-proxy");
        }
    }
    let listener = TcpListener::bind(address).await.map_err(|error| {
        let detail = format!("{address}: {error}");
        Problem::new(code::BAD_SETTING, detail, "--listen another address, or off")
    })?;
    let bound = listener.local_addr().unwrap_or(address);
    tracing::info!(address = %bound, "the API listens");
    Ok(listener)
}
