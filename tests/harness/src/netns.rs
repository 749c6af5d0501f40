//! A network of its own for a test's processes, with one line to the machine, on which packets can be lost. Needs root,
//! `ip` and `nft` (`tests/servers.sh install iproute2 nftables`, which `make servers` does for root).

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A network namespace, gone when dropped.
#[derive(Debug)]
pub struct Netns {
    pub name: String,
    /// The machine's address as seen from inside.
    pub host: String,
}

impl Netns {
    /// Makes one; `None`, and a line that says so, if this is not root.
    ///
    /// # Panics
    /// It is root, and `ip` or `nft` fail.
    #[must_use]
    pub fn new() -> Option<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        if !is_root() {
            eprintln!("skipped: needs root");
            return None;
        }
        let (pid, made) = (std::process::id(), MADE.fetch_add(1, Ordering::SeqCst));
        let name = format!("sl{pid}x{made}");
        // A net of four addresses out of 10.128.0.0/9, told by the process id.
        let net = pid.wrapping_mul(4).wrapping_add(made * 4) % (1 << 23);
        let address = |at: u32| std::net::Ipv4Addr::from((10 << 24 | 1 << 23) + net + at).to_string();
        let namespace = Self { host: address(1), name };
        let Self { name, host } = &namespace;
        run(&format!("ip netns add {name}"));
        run(&format!("ip link add {name}a type veth peer name {name}b netns {name}"));
        run(&format!("ip addr add {host}/30 dev {name}a"));
        run(&format!("ip link set {name}a up"));
        run(&format!("ip netns exec {name} ip addr add {}/30 dev {name}b", address(2)));
        run(&format!("ip netns exec {name} ip link set {name}b up"));
        run(&format!("ip netns exec {name} ip link set lo up"));
        run(&format!("ip netns exec {name} nft add table inet faults"));
        run(&format!(
            "ip netns exec {name} nft add chain inet faults arriving {{ type filter hook input priority 0 ; }}"
        ));
        Some(namespace)
    }

    /// From now on loses so many of a hundred packets that arrive over the line.
    ///
    /// # Panics
    /// `nft` fails.
    pub fn lose(&self, percent: u8) {
        let Self { name, .. } = self;
        run(&format!(
            "ip netns exec {name} nft add rule inet faults arriving iifname {name}b numgen random mod 100 < {percent} \
             counter drop"
        ));
    }

    /// Packets lost so far.
    ///
    /// # Panics
    /// `nft` fails or says something else.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let listing = run(&format!("ip netns exec {} nft list chain inet faults arriving", self.name));
        let words: Vec<&str> = listing.split_whitespace().collect();
        let after =
            |word| words.iter().position(|w| *w == word).and_then(|at| words.get(at + 1)?.parse().ok());
        after("packets").expect("a counter of packets")
    }

    /// Loses nothing any more.
    ///
    /// # Panics
    /// `nft` fails.
    pub fn heal(&self) {
        run(&format!("ip netns exec {} nft flush chain inet faults arriving", self.name));
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // The line goes with it.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.split_whitespace().take(3).eq(["Uid:", "0", "0"]))
}

fn run(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let output = Command::new(words[0]).args(&words[1..]).output().expect("it can be run");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
