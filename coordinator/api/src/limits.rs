//! How often strangers may try. Whoever has a good token is never slowed down, wherever he is.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::problem::{Problem, Result};

/// Tokens that may be refused to an address in a minute; as many at once.
const REFUSALS: NonZeroU32 = NonZeroU32::new(5).expect("not zero");
/// Addresses remembered before those are forgotten that have waited long enough.
const ADDRESSES_MAX: usize = 10_000;

/// What strangers have tried, by their address.
#[derive(Debug)]
pub(crate) struct Limits(DefaultKeyedRateLimiter<IpAddr>);

impl Limits {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(RateLimiter::keyed(Quota::per_minute(REFUSALS))))
    }
}

/// Where a request comes from.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    limits: Arc<Limits>,
    /// Unknown where nothing listens: in tests of single handlers.
    address: Option<IpAddr>,
}

impl Peer {
    pub(crate) const fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// A token of this peer is refused.
    ///
    /// # Errors
    /// Too many were, a while ago: nothing more is done about it until the time that the answer names is over.
    pub(crate) fn refused(&self) -> Result<()> {
        let (Some(address), Limits(limiter)) = (self.address, &*self.limits) else { return Ok(()) };
        if limiter.len() > ADDRESSES_MAX {
            limiter.retain_recent();
        }
        limiter.check_key(&address).map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            Problem::too_many("too many tokens of this address were refused", wait)
        })
    }
}

/// Notes of every request where it comes from.
pub(crate) async fn peer(State(limits): State<Arc<Limits>>, mut request: Request, next: Next) -> Response {
    let connection = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let address = connection.map(|ConnectInfo(address)| whole(address.ip()));
    request.extensions_mut().insert(Peer { limits, address });
    next.run(request).await
}

/// One who has an address of IPv6 has as many as a /64 holds.
fn whole(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_refused_five_times_and_others_do_not_suffer() {
        let limits = Limits::new();
        let peer = |text: &str| Peer {
            limits: Arc::clone(&limits),
            address: Some(whole(text.parse().expect("an address"))),
        };
        for _ in 0..5 {
            peer("192.0.2.1").refused().expect("one of five");
            peer("2001:db8::1").refused().expect("one of five");
        }
        assert!(peer("192.0.2.1").refused().is_err() && peer("::ffff:192.0.2.1").refused().is_err());
        assert!(peer("2001:db8::abcd").refused().is_err() && peer("2001:db8:0:1::1").refused().is_ok());
        assert!(peer("192.0.2.2").refused().is_ok());
        Peer { limits, address: None }.refused().expect("nobody");
    }
}
