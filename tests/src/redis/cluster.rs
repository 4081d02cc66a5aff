//! A real Redis Cluster on loopback: three primaries, each with a replica.

mod slots;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use tempfile::TempDir;

use super::server::{answers, free_port};
use super::{Wire, service};
use crate::manifests::Manifests;
use crate::process::Process;
use crate::wait::until;

/// Six nodes: [`Cluster::start`] makes the first three primaries, of as many slots each, and each
/// of the others the replica of the one three places before it. Killed when dropped.
pub struct Cluster {
    nodes: Vec<Node>,
}

/// One server of a cluster.
pub struct Node {
    process: Option<Process>,
    port: u16,
    bus: u16,
    id: String,
    directory: TempDir,
}

/// How long a node may be silent before the others call it failed (ms).
const NODE_TIMEOUT: &str = "2000";

impl Node {
    /// # Panics
    /// When it does not start.
    fn start() -> Self {
        for _ in 0..20 {
            let mut node = Self {
                process: None,
                port: free_port(),
                bus: free_port(),
                id: String::new(),
                directory: TempDir::with_prefix("meltemi-node-").expect("a temporary directory"),
            };
            if node.run() {
                node.id = node.connect().call("CLUSTER MYID");
                return node;
            }
        }
        panic!("redis-server does not start as a node of a cluster");
    }

    /// Starts it, again with what it knew where it ran before. False: its port is taken.
    pub fn run(&mut self) -> bool {
        let mut command = Command::new("redis-server");
        command
            .current_dir(self.directory.path())
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--cluster-enabled", "yes"])
            .args(["--cluster-port", &self.bus.to_string()])
            .args(["--cluster-node-timeout", NODE_TIMEOUT])
            .args(["--save", "", "--appendonly", "no"])
            .args(["--repl-diskless-sync-delay", "0"])
            .args(["--repl-ping-replica-period", "1"])
            .args(["--enable-debug-command", "yes"]);
        let process = Process::spawn("redis-server", &mut command);
        let answers = answers(&process, self.address());
        self.process = answers.then_some(process);
        answers
    }

    /// Gives it ports of the system's choice; it has to be started then.
    pub fn change_ports(&mut self) {
        self.kill();
        (self.port, self.bus) = (free_port(), free_port());
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A connection to it, without a proxy.
    #[must_use]
    pub fn connect(&self) -> Wire {
        Wire::connect(self.address())
    }

    /// As by `kill -9`.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Sends it a signal by name, such as `STOP`.
    pub fn signal(&self, signal: &str) {
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }

    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// How often it executed a command since its statistics were reset, its primary's writes
    /// included where it is a replica.
    #[must_use]
    pub fn calls(&self, command: &str) -> u64 {
        self.statistic(command, "calls")
    }

    /// How often it sent a command elsewhere, or refused it.
    #[must_use]
    pub fn rejected(&self, command: &str) -> u64 {
        self.statistic(command, "rejected_calls")
    }

    fn statistic(&self, command: &str, name: &str) -> u64 {
        let statistics = self.connect().call("INFO commandstats");
        let start = format!("cmdstat_{command}:");
        let counters = statistics
            .lines()
            .find_map(|line| line.strip_prefix(&start));
        let counter = counters.and_then(|counters| {
            let mut counters = counters.split(',');
            counters.find_map(|counter| counter.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
        });
        counter.unwrap_or(0)
    }
}

impl Cluster {
    /// # Panics
    /// When it does not come to be.
    #[must_use]
    pub fn start() -> Self {
        let cluster = Self {
            nodes: (0..6).map(|_| Node::start()).collect(),
        };
        for (n, node) in cluster.nodes.iter().enumerate() {
            let mut wire = node.connect();
            assert_eq!(
                wire.call(&format!("CLUSTER SET-CONFIG-EPOCH {}", n + 1)),
                "+OK"
            );
            if n < 3 {
                let (from, to) = (n * 16384 / 3, (n + 1) * 16384 / 3 - 1);
                let owns = format!("CLUSTER ADDSLOTSRANGE {from} {to}");
                assert_eq!(wire.call(&owns), "+OK");
            }
        }
        cluster.introduce(0);
        until("all nodes know each other", || {
            cluster.nodes.iter().all(|node| node.knows(6)).then_some(())
        });
        for (n, node) in cluster.nodes.iter().enumerate().skip(3) {
            let primary = cluster.node(n - 3).id();
            let reply = node.connect().call(&format!("CLUSTER REPLICATE {primary}"));
            assert_eq!(reply, "+OK");
        }
        cluster.settle();
        cluster
    }

    /// Lets the `n`th node meet all the others.
    pub fn introduce(&self, n: usize) {
        let mut wire = self.node(n).connect();
        for other in self.nodes.iter().filter(|other| other.is_running()) {
            let meet = format!("CLUSTER MEET 127.0.0.1 {} {}", other.port, other.bus);
            assert_eq!(wire.call(&meet), "+OK");
        }
    }

    /// Waits until all slots are served, every running node says that all running nodes are well,
    /// and all agree on who has what.
    pub fn settle(&self) {
        let running = self.nodes.iter().filter(|node| node.is_running()).count();
        until("the cluster is well", || {
            let well = |node: &Node| {
                let mut wire = node.connect();
                let state = wire.call("CLUSTER INFO");
                let role = wire.call("ROLE");
                if role.contains(" connect ") {
                    node.replicate_again();
                }
                let shards = wire.call("CLUSTER SHARDS");
                state.contains("cluster_state:ok")
                    && !role.contains("connect ")
                    && !role.contains("connecting ")
                    && !role.contains("sync ")
                    && shards.matches("health online").count() == running
            };
            let running = || self.nodes.iter().filter(|node| node.is_running());
            let mut views = running().map(Node::view);
            let first = views.next();
            (running().all(well) && views.all(|view| Some(&view) == first.as_ref())).then_some(())
        });
    }

    #[must_use]
    pub fn node(&self, n: usize) -> &Node {
        &self.nodes[n]
    }

    pub fn node_mut(&mut self, n: usize) -> &mut Node {
        &mut self.nodes[n]
    }

    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The addresses of the first three.
    #[must_use]
    pub fn seeds(&self) -> Vec<SocketAddr> {
        self.nodes.iter().take(3).map(Node::address).collect()
    }

    /// A Gateway `edge` with one server `redis` on a port of the system's choice, and this cluster
    /// behind it. `settings` are those of the `RedisService`, as YAML of one line.
    #[must_use]
    pub fn manifests(&self, settings: &str) -> Manifests {
        manifests(&self.seeds(), settings)
    }
}

/// [`Cluster::manifests`] with these nodes to be asked first.
#[must_use]
pub fn manifests(seeds: &[SocketAddr], settings: &str) -> Manifests {
    let manifests = Manifests::new();
    manifests.write("gateway.yaml", super::GATEWAY);
    manifests.write("service.yaml", &service("cache.demo", seeds));
    manifests.write("destination.yaml", DESTINATION);
    let text = SERVICE.replace("SETTINGS", settings);
    manifests.write("redis.yaml", &text);
    manifests
}

impl Node {
    /// A replica may go on dialling the port that its primary has left, though it knows the new one.
    fn replicate_again(&self) {
        let mut wire = self.connect();
        let nodes = wire.call("CLUSTER NODES");
        let mut own = nodes.lines().filter(|line| line.contains("myself,slave"));
        if let Some(primary) = own.next().and_then(|line| line.split(' ').nth(3)) {
            // It refuses as long as it does not know the primary as one.
            let _ = wire.call(&format!("CLUSTER REPLICATE {primary}"));
        }
    }

    /// Each node, whether it is a primary, and what it has, as this one knows it.
    fn view(&self) -> Vec<String> {
        let nodes = self.connect().call("CLUSTER NODES");
        let view = nodes.lines().map(|line| {
            let mut words = line.split_whitespace();
            let id = words.next().unwrap_or_default();
            let primary = words.nth(1).is_some_and(|flags| flags.contains("master"));
            let slots: Vec<&str> = words.skip(5).filter(|it| !it.starts_with('[')).collect();
            format!("{id} {primary} {slots:?}")
        });
        let mut view: Vec<String> = view.collect();
        view.sort();
        view
    }

    /// Whether it knows so many nodes, none of which it still shakes hands with.
    fn knows(&self, count: usize) -> bool {
        let nodes = self.connect().call("CLUSTER NODES");
        let known = nodes.lines().filter(|line| !line.trim().is_empty());
        known.clone().count() == count && !known.clone().any(|line| line.contains("handshake"))
    }
}

const DESTINATION: &str = "\
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisDestination
metadata:
  name: cache
spec:
  host: cache.demo
  trafficPolicy:
    connectionPool:
      tcp:
        connectTimeout: 1s
      redis:
        mode: CLUSTER
";

const SERVICE: &str = "\
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisService
metadata:
  name: cache
spec:
  host: [cache.demo]
  gateways: [edge]
  settings: { SETTINGS }
";
