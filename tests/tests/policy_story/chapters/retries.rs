//! Servers that fail, where another one may be asked and where it must not.

use meltemi_tests::until;

use crate::peers::{Answer, Call};
use crate::proxied::{CLUSTER, Route, Rules};
use crate::stage::Stage;

pub(super) fn dies(stage: &mut Stage) {
    let victim = stage.peers.server("victim");
    let rules = Rules {
        routes: &[Route(
            None,
            "idempotent: true\nretries: {attempts: 2, retryOn: \"connect-failure,reset-before-bytes\"}",
        )],
        ..Rules::default()
    };
    let ports = [victim.port(), stage.b.port()];
    let proxied = stage.before(&ports, rules);
    victim.freeze();
    for library in &mut stage.libraries {
        library.gets_stuck(Call::Who, &proxied, &*victim);
    }
    drop(victim);
    for library in &mut stage.libraries {
        assert_eq!(library.client.answer(), Answer::value("b"));
    }
    let libraries = stage.libraries.len();
    let ok = (ports[1], "ok");
    proxied.logs(&[(ports[0], "upstream_reset"), ok], libraries);
    until("one finds nobody there", || {
        for library in &mut stage.libraries {
            library.gets(Call::Who, "b");
        }
        (proxied.logged(&[(ports[0], "connect_failure"), ok]) > 0).then_some(())
    });
}

pub(super) fn dies_for_good(stage: &mut Stage) {
    let victim = stage.peers.server("victim");
    let rules = Rules {
        routes: &[Route(
            None,
            "retries: {attempts: 2, retryOn: \"connect-failure,reset-before-bytes\"}",
        )],
        ..Rules::default()
    };
    let ports = [victim.port(), stage.b.port()];
    let before = stage.counted(ports[1]);
    let proxied = stage.before(&ports, rules);
    victim.freeze();
    let mut elsewhere = 0;
    for library in &mut stage.libraries {
        elsewhere += library.gets_stuck(Call::Count, &proxied, &*victim);
    }
    drop(victim);
    let reason = format!("the endpoint of {CLUSTER} closed the connection before it answered");
    for library in &mut stage.libraries {
        let answer = library.client.answer();
        library.is_told(&answer, "upstream-reset", &reason);
        // Nothing has left for a server that is not there.
        library.gets(Call::Who, "b");
    }
    let libraries = stage.libraries.len();
    proxied.logs(&[(ports[0], "upstream_reset")], libraries);
    assert_eq!(stage.counted(ports[1]), before + elsewhere as u64);
}

pub(super) fn freezes(stage: &mut Stage) {
    let rules = Rules {
        routes: &[Route(
            None,
            "idempotent: true\ntimeout: 60s\n\
                retries: {attempts: 5, perTryTimeout: 300ms, retryOn: timeout}",
        )],
        ..Rules::default()
    };
    let ports = [stage.a.port(), stage.b.port()];
    let proxied = stage.before(&ports, rules);
    stage.a.freeze();
    for library in &mut stage.libraries {
        for _ in 0..4 {
            library.gets(Call::Who, "b");
        }
    }
    proxied.logs(&[(ports[0], "timeout"), (ports[1], "ok")], 1);
    stage.a.thaw();
}

pub(super) fn freezes_for_good(stage: &mut Stage) {
    let rules = Rules {
        routes: &[Route(
            None,
            "timeout: 60s\nretries: {attempts: 5, perTryTimeout: 1s, retryOn: timeout}",
        )],
        ..Rules::default()
    };
    let ports = [stage.a.port(), stage.b.port()];
    let before = stage.counted(ports[0]) + stage.counted(ports[1]);
    let proxied = stage.before(&ports, rules);
    stage.a.freeze();
    let mut made = 0;
    for library in &mut stage.libraries {
        made += library.gets_stuck(Call::Count, &proxied, &*stage.a) + 1;
        let answer = library.client.answer();
        let reason = format!("no answer of {CLUSTER} within the deadline");
        library.is_told(&answer, "timeout", &reason);
    }
    assert_eq!(proxied.metric("meltemi_retries_total", &[]), 0);
    let libraries = stage.libraries.len();
    proxied.logs(&[(ports[0], "timeout")], libraries);
    stage.a.thaw();
    // Each was executed once, those that nobody waited for too.
    until("all are counted", || {
        let counted = stage.counted(ports[0]) + stage.counted(ports[1]);
        (counted == before + made as u64).then_some(())
    });
}

pub(super) fn in_trouble(stage: &mut Stage) {
    let troubled = stage.peers.troubled();
    let rules = Rules {
        routes: &[Route(
            None,
            "idempotent: true\nretries: {attempts: 1, retryOn: system-error}",
        )],
        ..Rules::default()
    };
    let ports = [troubled.port(), stage.b.port()];
    let proxied = stage.before(&ports, rules);
    for library in &mut stage.libraries {
        for _ in 0..2 {
            let answer = library.client.call(Call::Demand);
            assert!(matches!(answer, Answer::Value(_)), "{answer:?}");
        }
    }
    proxied.logs(&[(ports[0], "system_error"), (ports[1], "ok")], 1);
}
