//! What is asked of a proxy's worker threads: that each stays on a CPU of its own, where it is told so.

use std::collections::BTreeSet;
use std::fs;
use std::thread::available_parallelism;

use meltemi_tests::{Manifests, Meltemi};

const WORKERS: usize = 2;

/// The CPUs that each worker may run on, as the system lists them.
fn cpus_of_workers(meltemi: &Meltemi) -> Vec<String> {
    let threads = format!("/proc/{}/task", meltemi.process().pid());
    let threads = fs::read_dir(threads).expect("the process is there");
    let threads = threads.map(|thread| thread.expect("a thread").path());
    let workers = threads.filter(|thread| {
        let name = fs::read_to_string(thread.join("comm")).unwrap_or_default();
        name.starts_with("worker-")
    });
    let cpus = workers.map(|worker| {
        let status = fs::read_to_string(worker.join("status")).expect("a status");
        let mut lines = status.lines();
        let cpus = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        cpus.expect("the CPUs of a thread").trim().to_owned()
    });
    cpus.collect()
}

#[test]
fn a_worker_stays_on_one_cpu_if_it_is_told_so() {
    let manifests = Manifests::redis_gateway();
    let workers = WORKERS.to_string();
    for (pinned, arguments) in [
        (false, &["--workers", &workers][..]),
        (true, &["--workers", &workers, "--pin-workers"]),
    ] {
        let meltemi = Meltemi::run_with(manifests.path(), arguments);
        // Workers are there, and on their CPUs, before they take anything.
        meltemi
            .get("/clusters")
            .expect("each worker says how it is");
        let cpus = cpus_of_workers(&meltemi);
        assert_eq!(cpus.len(), WORKERS);
        let distinct: BTreeSet<_> = cpus.iter().collect();
        let machine = available_parallelism().expect("a number").get();
        let single = cpus.iter().all(|cpus| cpus.parse::<usize>().is_ok());
        assert_eq!(single, pinned || machine == 1, "{cpus:?}");
        if pinned {
            assert_eq!(distinct.len(), WORKERS.min(machine), "{cpus:?}");
        }
    }
}
