//! The constant load: what each client has seen in each chapter, and that nothing of it is an error
//! but what its library explains.

use std::collections::BTreeSet;

use meltemi_tests::dubbo::{Counts, Load};
use meltemi_tests::until;

use super::lab::Lab;
use super::objects::{self, Library};

/// Calls that have to go well before a chapter counts.
const ENOUGH: u64 = 60;
/// That a client calls from.
const THREADS: u64 = 2;

/// Clients that call all the time.
#[derive(Default)]
pub(super) struct Callers(Vec<Caller>);

struct Caller {
    name: String,
    library: Library,
    load: Load,
    made: u64,
    /// On their way when a connection was closed.
    lost: u64,
}

impl Callers {
    /// Another client comes.
    pub(super) fn comes(&mut self, lab: &Lab, name: &str, library: Library, lane: Option<&str>) {
        lab.cluster.apply(&objects::caller(name, library, lane));
        let process = until(&format!("{name} runs"), || lab.pods.process("shop", name));
        self.0.push(Caller {
            name: name.to_owned(),
            library,
            load: Load::of(process),
            made: 0,
            lost: 0,
        });
    }

    /// What a client has seen since it was last asked.
    fn seen(&mut self, name: &str) -> Counts {
        let mut of = self.0.iter_mut().filter(|it| it.name == name);
        of.next().expect("it has come").seen()
    }

    /// Waits until a client has its answers from these providers and no others for a while.
    pub(super) fn is_answered_by(&mut self, name: &str, providers: impl Fn() -> BTreeSet<String>) {
        let mut run = Counts::default();
        let mut seen = BTreeSet::new();
        let start = std::time::Instant::now();
        while start.elapsed() < meltemi_tests::PATIENCE {
            let counts = self.seen(name);
            seen = counts.calls.keys().cloned().collect();
            let expected = providers();
            match seen.is_subset(&expected) {
                true => run.add(counts),
                false => run = Counts::default(),
            }
            if run.total() >= ENOUGH {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!(
            "{name} is answered by {seen:?}, and not by {:?} alone",
            providers()
        );
    }

    /// Everybody goes on, and nobody has seen an error until now.
    pub(super) fn are_well(&mut self, chapter: &str) {
        for caller in &mut self.0 {
            let before = caller.made;
            until(&format!("{} goes on after {chapter}", caller.name), || {
                let _ = caller.seen();
                (caller.made >= before + ENOUGH).then_some(())
            });
            let Caller {
                name, made, lost, ..
            } = caller;
            eprintln!("{chapter}: {name}: {made} calls, {lost} lost");
        }
    }

    /// A client leaves. No more is lost than its connections explain.
    pub(super) fn leaves(&mut self, lab: &Lab, name: &str) {
        let at = self.0.iter().position(|it| it.name == name);
        let mut caller = self.0.remove(at.expect("it has come"));
        let counts = caller.load.stop();
        caller.lost += lost(name, caller.library, &counts);
        let ends = lab.ways(name).len() - 1;
        let at_most = u64::try_from(ends).unwrap_or_default() * THREADS;
        eprintln!(
            "{name} leaves: {} calls lost, {ends} connections closed",
            caller.lost
        );
        assert!(caller.lost <= at_most, "{name}: {} calls lost", caller.lost);
    }
}

impl Caller {
    /// # Panics
    /// With what is known of it, when a call failed that should not.
    fn seen(&mut self) -> Counts {
        let counts = self.load.mark();
        self.made += counts.made();
        self.lost += lost(&self.name, self.library, &counts);
        counts
    }
}

/// How many calls failed as the library explains.
///
/// # Panics
/// With what is known of it, when another one did.
fn lost(client: &str, library: Library, counts: &Counts) -> u64 {
    let closed = [
        "is inactive. Directly return",
        "ClosedChannelException",
        "Connection reset",
        // It was busy until the drain time was over.
        "the proxy is shutting down",
    ];
    let is_explained = |call: &&String| {
        library == Library::Two && closed.iter().any(|closed| call.contains(closed))
    };
    let errors: u64 = counts.errors.values().sum();
    let explained = counts.failed.iter().filter(is_explained).count();
    let is_well = counts.wrong.is_empty() && u64::try_from(explained) == Ok(errors);
    let failed = counts.failed.join("\n");
    assert!(
        is_well,
        "{client}: {:?}\n{failed}\n{:?}",
        counts.errors, counts.wrong
    );
    errors
}
