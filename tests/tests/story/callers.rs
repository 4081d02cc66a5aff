//! The constant load: what each client has seen in each chapter, and that nothing of it is an error.

use std::collections::BTreeSet;

use meltemi_tests::dubbo::{Counts, Load};
use meltemi_tests::until;

use super::lab::Lab;
use super::objects;

/// Calls that have to go well before a chapter counts.
const ENOUGH: u64 = 60;

/// Clients that call all the time.
#[derive(Default)]
pub(super) struct Callers(Vec<Caller>);

struct Caller {
    name: String,
    load: Load,
    made: u64,
}

impl Callers {
    /// Another client comes.
    pub(super) fn comes(&mut self, lab: &Lab, name: &str, image: &str, lane: Option<&str>) {
        lab.cluster.apply(&objects::caller(name, image, lane));
        let process = until(&format!("{name} runs"), || lab.pods.process("shop", name));
        let load = Load::of(process);
        let name = name.to_owned();
        self.0.push(Caller {
            name,
            load,
            made: 0,
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
            eprintln!(
                "{chapter}: {}: {} calls, no error",
                caller.name, caller.made
            );
        }
    }

    /// A client leaves.
    pub(super) fn leaves(&mut self, name: &str) {
        let at = self.0.iter().position(|it| it.name == name);
        let caller = self.0.remove(at.expect("it has come"));
        is_clean(name, &caller.load.stop());
    }
}

impl Caller {
    /// # Panics
    /// With what is known of it, when a call failed.
    fn seen(&mut self) -> Counts {
        let counts = self.load.mark();
        self.made += counts.made();
        is_clean(&self.name, &counts);
        counts
    }
}

fn is_clean(client: &str, counts: &Counts) {
    let failed = counts.failed.join("\n");
    let (errors, wrong) = (&counts.errors, &counts.wrong);
    assert!(
        counts.is_clean(),
        "{client}: {errors:?}\n{failed}\n{wrong:?}"
    );
}
