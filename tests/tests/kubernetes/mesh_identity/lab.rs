//! A mesh: an API server, its istiod, and what pods would have mounted.

use std::cell::Cell;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use meltemi_tests::certificates::Pair;
use meltemi_tests::kubernetes::{ApiServer, Istiod};
use meltemi_tests::redis::Server;
use meltemi_tests::{Manifests, Meltemi, until};
use serde_json::Value;
use tempfile::TempDir;

use super::issued::issued;

/// A cluster with an istiod, and the files that a pod would have mounted.
pub(super) struct Lab {
    pub(super) cluster: ApiServer,
    /// None once it has ended.
    istiod: Option<Istiod>,
    files: TempDir,
    written: Cell<u32>,
}

impl Lab {
    pub(super) fn start() -> Option<Self> {
        let cluster = ApiServer::with_definitions()?;
        if !Istiod::is_installed(cluster.programs()) || !Server::is_installed() {
            return None;
        }
        for crd in cluster.programs().gateway_api_crds() {
            cluster.install_crds(&crd);
        }
        cluster.create_namespaces(&["istio-system"]);
        let program = Istiod::program(cluster.programs());
        let istiod = Istiod::start(&program, &cluster.kubeconfig(), &[]);
        let roots = until("istiod tells the roots of its mesh", || {
            let path = "/api/v1/namespaces/default/configmaps/istio-ca-root-cert";
            let roots = cluster.get(path)?["data"]["root-cert.pem"].take();
            roots.as_str().map(str::to_owned)
        });
        let lab = Self {
            cluster,
            istiod: Some(istiod),
            files: TempDir::with_prefix("meltemi-mesh-").expect("a temporary directory"),
            written: Cell::new(0),
        };
        lab.write("roots.pem", &roots);
        lab.write("gateway.token", &lab.token("gateway"));
        Some(lab)
    }

    /// Ends the istiod; where its CA was.
    pub(super) fn kill_istiod(&mut self) -> SocketAddr {
        self.istiod.take().expect("it runs").secure()
    }

    pub(super) fn start_istiod_again(&mut self, secure: SocketAddr) {
        let program = Istiod::program(self.cluster.programs());
        let cluster = (&*program, &*self.cluster.kubeconfig());
        self.istiod = Some(Istiod::start_at(secure, cluster, &[]));
    }

    pub(super) fn istiod(&self) -> &Istiod {
        self.istiod.as_ref().expect("it runs")
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// In one step, as a kubelet does it.
    pub(super) fn write(&self, name: &str, text: &str) {
        let new = self.path("new");
        fs::write(&new, text).expect("it can be written");
        fs::rename(new, self.path(name)).expect("it can be renamed");
    }

    /// One of its own.
    pub(super) fn file(&self, name: &str, text: &str) -> PathBuf {
        let number = self.written.get() + 1;
        self.written.set(number);
        let name = format!("{number}-{name}");
        self.write(&name, text);
        self.path(&name)
    }

    /// Of a new service account, as it would be mounted into its pods.
    pub(super) fn token(&self, account: &str) -> String {
        let created = self.cluster.kubectl(&["create", "serviceaccount", account]);
        created.expect_success("a service account");
        let create = ["create", "token", account, "--audience", "istio-ca"];
        let created = self.cluster.kubectl(&create);
        created.expect_success("a token");
        created.stdout().trim().to_owned()
    }

    /// What istiod gives a new service account.
    pub(super) fn issued(&self, account: &str) -> Pair {
        let ca = (&*self.istiod().authority(), &*self.path("roots.pem"));
        issued(ca, &self.token(account))
    }

    /// A proxy of the account `gateway`, whose certificates live for so long.
    pub(super) fn proxy(&self, manifests: &Manifests, lifetime: &str) -> Meltemi {
        let path = |name: &str| self.path(name).display().to_string();
        let (root, token, log) = (path("roots.pem"), path("gateway.token"), path("access.log"));
        let authority = self.istiod().authority();
        let arguments = ["--workers", "1", "--ca-address", &authority];
        let files = [
            "--ca-root",
            &root,
            "--ca-token",
            &token,
            "--access-log",
            &log,
        ];
        let lifetime = ["--certificate-lifetime", lifetime];
        Meltemi::run_with(
            manifests.path(),
            &[&arguments[..], &files, &lifetime].concat(),
        )
    }

    /// Waits for a line of the access log with all these words.
    pub(super) fn logged(&self, words: &[&str]) -> Value {
        until(&format!("the access log has {words:?}"), || {
            let log = fs::read_to_string(self.path("access.log")).ok()?;
            let has_all = |line: &&str| words.iter().all(|word| line.contains(word));
            serde_json::from_str(log.lines().find(has_all)?).ok()
        })
    }
}
