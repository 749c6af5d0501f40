//! The Redis store.
//!
//! Every step of a job is one script, so that no crash leaves half a step. All deadlines are on the server's clock.
//! Uses only the commands that the guide grants (docs/guide.md, held by a test): no pub/sub, no transactions. Waking up is a
//! blocking pop on a second connection, with a slow poll beneath it.

mod address;
mod classify;
mod link;
mod scripts;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::{RedisResult, Script, ScriptInvocation, Value};
use tokio::time::Instant;

use self::address::Address;
use self::link::Link;
use self::scripts::{Keys, Scripts};
use crate::error::{Error, ErrorKind, chain};
use crate::job::is_plain_id;
use crate::sign::claimed_run;
use crate::store::{Bell, Claim, DEAD_MAX, EXPIRED_BATCH, Parcel, Store, StoredId};
use crate::{Depth, QueueInfo, RedisConfig};

/// Dead letters are evidence, not work: the list goes a week after the last one.
const DEAD_SECONDS: u64 = 7 * 24 * 3600;

#[derive(Debug)]
pub(crate) struct Redis {
    link: Link,
    scripts: Scripts,
    keys: Keys,
    visibility_ms: u64,
}

impl Redis {
    /// Connects, so that a wrong URL or password shows at once.
    pub(crate) async fn open(config: RedisConfig, visibility: Duration) -> Result<Self, Error> {
        let install = config.install.clone();
        if !is_plain_id(&install) {
            return Err(Error::new(ErrorKind::Config, "use the install id"));
        }
        let visibility_ms = u64::try_from(visibility.as_millis()).unwrap_or(u64::MAX);
        let link = Link::new(Arc::new(Address::new(config)?));
        let redis = Self { link, scripts: Scripts::new(), keys: Keys::new(&install), visibility_ms };
        redis.server_time_ms().await?;
        Ok(redis)
    }

    async fn call<T>(&self, operation: &'static str, script: ScriptInvocation<'_>) -> Result<T, Error>
    where
        T: redis::FromRedisValue + Send,
    {
        self.link
            .run(operation, |mut connection| async move { script.invoke_async(&mut connection).await })
            .await
    }

    async fn server_time_ms(&self) -> Result<u64, Error> {
        let (seconds, micros): (u64, u64) = self.ask("reach Redis", &["TIME"]).await?;
        Ok(seconds * 1_000 + micros / 1_000)
    }

    async fn ask<T: redis::FromRedisValue + Send>(
        &self,
        operation: &'static str,
        words: &[&str],
    ) -> Result<T, Error> {
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(word);
        }
        self.link
            .run(operation, |mut connection| async move { command.query_async(&mut connection).await })
            .await
    }

    /// `HELLO` tells the version without the permission that `INFO` needs.
    async fn version(&self) -> Option<String> {
        let facts: HashMap<String, Value> = self.ask("ask the version", &["HELLO"]).await.ok()?;
        let fact = |name: &str| redis::from_redis_value_ref::<String>(facts.get(name)?).ok();
        Some(format!("{} {}", fact("server")?, fact("version")?))
    }

    /// One fact of `INFO`; `None` if the ACL hides it: the doctor then says so.
    async fn fact(&self, section: &str, name: &str) -> Option<String> {
        let facts: String = self.ask("ask about the server", &["INFO", section]).await.ok()?;
        let fact = facts.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        fact.map(|fact| fact.trim().to_owned())
    }

    async fn finish(&self, operation: &'static str, claim: &Claim, letter: &str) -> Result<bool, Error> {
        let keys = [&self.keys.jobs, &self.keys.deadlines, &self.keys.owners, &self.keys.dead];
        let mut script = with_keys(&self.scripts.finish, keys);
        script.arg(claim.id.as_slice()).arg(&claim.fence).arg(letter).arg(DEAD_MAX).arg(DEAD_SECONDS);
        self.call(operation, script).await
    }

    async fn page_of_run(&self, run: &str, cursor: u64) -> Result<(u64, Vec<StoredId>), Error> {
        let mut command = redis::cmd("HSCAN");
        command.arg(&self.keys.jobs).arg(cursor).arg("MATCH").arg(format!("{run}-*")).arg("COUNT").arg(500);
        let (next, page): (u64, Vec<(StoredId, Vec<u8>)>) = self
            .link
            .run("list the jobs of a run", |mut connection| async move {
                command.query_async(&mut connection).await
            })
            .await?;
        let of_run = |(id, payload): (StoredId, Vec<u8>)| {
            (claimed_run(&payload).as_deref() == Some(run)).then_some(id)
        };
        Ok((next, page.into_iter().filter_map(of_run).collect()))
    }
}

#[async_trait]
impl Store for Redis {
    async fn push(&self, parcels: &[Parcel]) -> Result<usize, Error> {
        let mut script = with_keys(&self.scripts.push, [&self.keys.ready, &self.keys.jobs, &self.keys.bell]);
        for Parcel { id, payload } in parcels {
            script.arg(id.as_slice()).arg(payload.as_slice());
        }
        self.call("push jobs", script).await
    }

    async fn claim(&self, fence: &str) -> Result<Option<Parcel>, Error> {
        let Keys { ready, jobs, deadlines, owners, dead: _, bell } = &self.keys;
        let mut script = with_keys(&self.scripts.claim, [ready, jobs, deadlines, owners, bell]);
        script.arg(fence).arg(self.visibility_ms).arg(EXPIRED_BATCH);
        let taken: Vec<Vec<u8>> = self.call("fetch a job", script).await?;
        let mut taken = taken.into_iter();
        Ok(taken.next().map(|id| Parcel { id, payload: taken.next().unwrap_or_default() }))
    }

    async fn extend(&self, claims: &[Claim]) -> Result<Vec<Claim>, Error> {
        let mut script = with_keys(&self.scripts.extend, [&self.keys.deadlines, &self.keys.owners]);
        script.arg(self.visibility_ms);
        for Claim { id, fence } in claims {
            script.arg(id.as_slice()).arg(fence);
        }
        let lost: Vec<usize> = self.call("keep the jobs in hand", script).await?;
        Ok(lost.into_iter().filter_map(|position| claims.get(position)).cloned().collect())
    }

    async fn ack(&self, claim: &Claim) -> Result<bool, Error> {
        self.finish("acknowledge a job", claim, "").await
    }

    async fn bury(&self, claim: &Claim, letter: &str) -> Result<bool, Error> {
        self.finish("set a payload aside", claim, letter).await
    }

    async fn release(&self, claim: &Claim) -> Result<bool, Error> {
        let Keys { ready, deadlines, owners, bell, .. } = &self.keys;
        let mut script = with_keys(&self.scripts.release, [ready, deadlines, owners, bell]);
        script.arg(claim.id.as_slice()).arg(&claim.fence);
        self.call("give a job back", script).await
    }

    async fn probe(&self) -> Result<(), Error> {
        self.call("write", with_keys(&self.scripts.probe, [&self.keys.bell])).await
    }

    async fn depth(&self) -> Result<Depth, Error> {
        let mut pipeline = redis::pipe();
        pipeline.zcard(&self.keys.ready).zcard(&self.keys.deadlines).llen(&self.keys.dead);
        let counts = |mut connection| async move { pipeline.query_async(&mut connection).await };
        let (ready, in_flight, dead) = self.link.run("count the jobs", counts).await?;
        Ok(Depth { ready, in_flight, dead })
    }

    async fn check(&self) -> Result<QueueInfo, Error> {
        let version = self.version().await;
        let maxmemory_policy = self.fact("memory", "maxmemory_policy").await;
        let is_appending = self.fact("persistence", "aof_enabled").await.map(|fact| fact == "1");
        // Last of all: whoever compares clocks takes it for fresh.
        let asked = Instant::now();
        let server_time_ms = Some(self.server_time_ms().await?);
        let round_trip = asked.elapsed();
        Ok(QueueInfo {
            backend: "redis",
            version,
            maxmemory_policy,
            is_appending,
            server_time_ms,
            round_trip,
        })
    }

    async fn clear_run(&self, run: &str) -> Result<(), Error> {
        if !is_plain_id(run) {
            return Ok(()); // No job can have been queued under it, and it could hold glob characters.
        }
        let Keys { ready, jobs, deadlines, owners, dead: _, bell } = &self.keys;
        let mut cursor = 0;
        loop {
            let (next, ids) = self.page_of_run(run, cursor).await?;
            let mut script = with_keys(&self.scripts.clear, [ready, jobs, deadlines, owners, bell]);
            for id in &ids {
                script.arg(id.as_slice());
            }
            let (): () = self.call("clear the jobs of a run", script).await?;
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }

    fn bell(&self) -> Box<dyn Bell> {
        Box::new(Blocking { link: self.link.another(), key: self.keys.bell.clone() })
    }
}

/// A blocking pop on a connection of its own, so that nothing else waits behind it.
struct Blocking {
    link: Link,
    key: String,
}

#[async_trait]
impl Bell for Blocking {
    async fn heard(&mut self, limit: Duration) {
        if !self.pop(limit).await {
            // The claim that follows meets the same trouble and reports it; here only the slow poll remains.
            tokio::time::sleep(limit).await;
        }
    }
}

impl Blocking {
    async fn pop(&self, limit: Duration) -> bool {
        let mut command = redis::cmd("BLPOP");
        command.arg(&self.key).arg(limit.as_secs_f64());
        let pop = |mut connection| async move {
            let popped: RedisResult<Option<(String, String)>> = command.query_async(&mut connection).await;
            popped
        };
        let popped = self.link.run("wait for work", pop).await;
        popped.inspect_err(|error| tracing::debug!(error = %chain(error), "bell not heard")).is_ok()
    }
}

fn with_keys<'a, const N: usize>(script: &'a Script, keys: [&String; N]) -> ScriptInvocation<'a> {
    let mut invocation = script.prepare_invoke();
    for key in keys {
        invocation.key(key);
    }
    invocation
}
