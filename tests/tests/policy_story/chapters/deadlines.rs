//! A server that does not answer in time.

use meltemi_tests::until;

use crate::peers::{Answer, Call};
use crate::proxied::{CLUSTER, Route, Rules};
use crate::stage::Stage;

pub(super) fn too_slow(stage: &mut Stage) {
    let rules = Rules {
        routes: &[Route(None, "timeout: 300ms")],
        ..Rules::default()
    };
    let proxied = stage.before(&[stage.a.port()], rules);
    stage.a.freeze();
    for library in &mut stage.libraries {
        library.client.begin(Call::Who);
    }
    let reason = format!("no answer of {CLUSTER} within the deadline");
    for library in &mut stage.libraries {
        let answer = library.client.answer();
        library.is_told(&answer, "timeout", &reason);
    }
    stage.a.thaw();
    for library in &mut stage.libraries {
        until("the next call works", || {
            let answer = library.client.call(Call::Who);
            if answer == Answer::value("a") {
                return Some(());
            }
            // On a busy machine it may be late again.
            library.is_told(&answer, "timeout", &reason);
            None
        });
    }
    assert_eq!(proxied.metric("meltemi_retries_total", &[]), 0);
}
