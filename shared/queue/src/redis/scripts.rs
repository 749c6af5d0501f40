//! The Lua scripts: each one step of a job's life, atomic, on the server's clock.

use redis::Script;

#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) push: Script,
    pub(super) claim: Script,
    pub(super) extend: Script,
    /// Ack, and ack into the dead-letter list.
    pub(super) finish: Script,
    pub(super) release: Script,
    pub(super) clear: Script,
    pub(super) probe: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            push: Script::new(include_str!("lua/push.lua")),
            claim: Script::new(include_str!("lua/claim.lua")),
            extend: Script::new(include_str!("lua/extend.lua")),
            finish: Script::new(include_str!("lua/finish.lua")),
            release: Script::new(include_str!("lua/release.lua")),
            clear: Script::new(include_str!("lua/clear.lua")),
            probe: Script::new(include_str!("lua/probe.lua")),
        }
    }
}

/// The keys of one installation, under one hash tag so that a Redis Cluster keeps them together.
#[derive(Debug)]
pub(super) struct Keys {
    /// Sorted set: id by time of arrival.
    pub(super) ready: String,
    /// Hash: id → payload, of every job ready or in flight.
    pub(super) jobs: String,
    /// Sorted set: id by deadline in milliseconds of the server's clock.
    pub(super) deadlines: String,
    /// Hash: id → fence of the current claim.
    pub(super) owners: String,
    /// List: letters, newest first.
    pub(super) dead: String,
    /// List: a stroke per job worth waking somebody for; expires by itself.
    pub(super) bell: String,
}

impl Keys {
    pub(super) fn new(install: &str) -> Self {
        let key = |name: &str| format!("{{syncline:{install}}}:{name}");
        Self {
            ready: key("ready"),
            jobs: key("jobs"),
            deadlines: key("deadlines"),
            owners: key("owners"),
            dead: key("dead"),
            bell: key("bell"),
        }
    }
}
