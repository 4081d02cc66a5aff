//! Copies for a mirror, whatever becomes of them.

use meltemi_tests::until;

use super::nobody::{closed_port, noise};
use crate::peers::{Answer, Call};
use crate::proxied::{COPIES, Route, Rules};
use crate::stage::Stage;

pub(super) fn copies(stage: &mut Stage) {
    let (a, b) = (stage.a.port(), stage.b.port());
    let before = (stage.counted(a), stage.counted(b));
    let to = format!("mirror: {{host: {COPIES}}}");
    let copied = Route(None, &to);
    let rules = Rules {
        routes: &[copied],
        mirror: Some(b),
        ..Rules::default()
    };
    let proxied = stage.before(&[a], rules);
    let mut made = 0;
    for library in &mut stage.libraries {
        for _ in 0..5 {
            let answer = library.client.call(Call::Count);
            assert!(matches!(answer, Answer::Value(_)), "{answer:?}");
            library.gets(Call::Who, "a");
            made += 1;
        }
    }
    until("the copies are counted", || {
        let counted = (stage.counted(a) - before.0, stage.counted(b) - before.1);
        (counted == (made, made)).then_some(())
    });
    assert_eq!(proxied.metric("meltemi_mirrored_left_out_total", &[]), 0);
}

/// Nobody there, silence, noise.
pub(super) fn misbehaves(stage: &mut Stage) {
    unnoticed(stage, closed_port(), "meltemi_mirrored_failures_total");
    stage.b.freeze();
    let silent = stage.b.port();
    unnoticed(stage, silent, "meltemi_mirrored_requests_total");
    stage.b.thaw();
    unnoticed(stage, noise(), "meltemi_mirrored_failures_total");
}

/// Calls with copies for a mirror on this port, of which something is counted.
fn unnoticed(stage: &mut Stage, mirror: u16, counted: &str) {
    let to = format!("mirror: {{host: {COPIES}}}");
    let copied = Route(None, &to);
    let rules = Rules {
        routes: &[copied],
        mirror: Some(mirror),
        ..Rules::default()
    };
    let proxied = stage.before(&[stage.a.port()], rules);
    for _ in 0..10 {
        for library in &mut stage.libraries {
            library.gets(Call::Who, "a");
        }
    }
    until(&format!("{counted} of the mirror"), || {
        (proxied.metric(counted, &[]) > 0).then_some(())
    });
    for library in &mut stage.libraries {
        library.gets(Call::Who, "a");
    }
}
