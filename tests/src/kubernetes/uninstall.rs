//! `helm uninstall` where the hook of the chart runs: what a controller of Jobs and a kubelet would do for it.

use std::thread;

use serde_json::{Value, json};

use super::kubectl::Answer;
use super::{ApiServer, Helm, Pod};
use crate::wait::until;

/// The hook of a release, as it runs.
pub struct Hook<'a> {
    cluster: &'a ApiServer,
    namespace: &'a str,
    job: String,
    pod: Option<Pod>,
}

/// Uninstalls a release of the chart `meltemi`. Its hook runs, and `during` does what a cluster would meanwhile.
///
/// # Panics
/// When the hook is not there.
#[must_use]
pub fn uninstall(
    cluster: &ApiServer,
    helm: &Helm,
    (namespace, release): (&str, &str),
    during: impl FnOnce(&mut Hook<'_>),
) -> Answer {
    thread::scope(|scope| {
        let uninstall = ["uninstall", release, "-n", namespace, "--timeout", "3m"];
        let uninstalled = scope.spawn(move || helm.run(&uninstall));
        let mut hook = Hook::begun(cluster, namespace);
        during(&mut hook);
        hook.end();
        uninstalled.join().expect("helm ends")
    })
}

impl<'a> Hook<'a> {
    fn begun(cluster: &'a ApiServer, namespace: &'a str) -> Self {
        let job = until("there is the Job of the hook", || {
            let get = ["get", "job", "-n", namespace, "-o", "json"];
            let jobs = cluster.kubectl(&get).json();
            let name = &jobs["items"][0]["metadata"]["name"];
            name.as_str().map(str::to_owned)
        });
        Self {
            cluster,
            namespace,
            job,
            pod: None,
        }
    }

    /// Its Pod, which runs from the first time that it is asked for.
    fn pod(&mut self) -> &mut Pod {
        let job = (self.namespace, self.job.as_str());
        self.pod
            .get_or_insert_with(|| Pod::start_of_job(self.cluster, job))
    }

    /// Waits until it has told of something.
    ///
    /// # Panics
    /// When it does not.
    pub fn says(&mut self, words: &str) {
        let process = self.pod().process();
        process.line(0, words, |line| line.contains(words).then_some(()));
    }

    /// Its Pod never runs.
    pub fn fails(&mut self) {
        self.is_over(false);
    }

    /// Says of the Job what became of its Pod, as its controller would.
    fn end(mut self) {
        let Some(mut pod) = self.pod.take() else {
            return;
        };
        let is_success = pod.process().wait().success();
        if !is_success {
            eprintln!("the hook failed: {}", pod.process().said());
        }
        self.is_over(is_success);
        let delete = ["delete", "pod", pod.name(), "-n", self.namespace, "--force"];
        let deleted = self.cluster.kubectl(&delete);
        deleted.expect_success("its Pod is deleted");
    }

    fn is_over(&self, is_success: bool) {
        let get = ["get", "job", &self.job, "-n", self.namespace, "-o", "json"];
        let now = self.cluster.kubectl(&get).json()["metadata"]["creationTimestamp"].take();
        let conditions = match is_success {
            true => ["SuccessCriteriaMet", "Complete"],
            false => ["FailureTarget", "Failed"],
        };
        let conditions = conditions.map(|kind| {
            json!({
                "type": kind, "status": "True", "reason": "BackoffLimitExceeded", "message": "",
                "lastProbeTime": now, "lastTransitionTime": now,
            })
        });
        let completed = if is_success { now.clone() } else { Value::Null };
        let status = json!({"status": {
            "startTime": now, "completionTime": completed, "succeeded": u8::from(is_success),
            "failed": u8::from(!is_success), "conditions": conditions,
        }});
        let patch = [
            "patch",
            "job",
            &self.job,
            "-n",
            self.namespace,
            "--subresource=status",
        ];
        let status = status.to_string();
        let patched = self
            .cluster
            .kubectl(&[&patch[..], &["--type=merge", "-p", &status]].concat());
        patched.expect_success("the Job is over");
    }
}

impl Pod {
    /// Ends as a kubelet has it end, and is gone.
    ///
    /// # Panics
    /// When it does not end well.
    pub fn ends(mut self, cluster: &ApiServer, namespace: &str) {
        self.process().signal("TERM");
        assert!(self.process().wait().success(), "{}", self.process().said());
        let delete = ["delete", "pod", self.name(), "-n", namespace, "--force"];
        cluster
            .kubectl(&delete)
            .expect_success("its Pod is deleted");
    }
}
