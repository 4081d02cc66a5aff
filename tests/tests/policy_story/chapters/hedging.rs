//! A second server is asked while the first is slow.

use crate::peers::{Answer, Call};
use crate::proxied::{Route, Rules};
use crate::stage::Stage;

pub(super) fn asked_meanwhile(stage: &mut Stage) {
    let rules = Rules {
        routes: &[Route(None, "idempotent: true\nhedge: {delay: 50ms}")],
        ..Rules::default()
    };
    let ports = [stage.a.port(), stage.b.port()];
    let proxied = stage.before(&ports, rules);
    stage.a.freeze();
    for library in &mut stage.libraries {
        for _ in 0..5 {
            library.gets(Call::Who, "b");
        }
    }
    assert!(proxied.metric("meltemi_retries_total", &[]) > 0);
    stage.a.thaw();
    // The late answers are nobody's: what comes next is of the next call, of whatever kind.
    for library in &mut stage.libraries {
        for _ in 0..5 {
            let who = library.client.call(Call::Who);
            assert!(
                [Answer::value("a"), Answer::value("b")].contains(&who),
                "{who:?}"
            );
            let counted = library.client.call(Call::Counted);
            let is_number =
                |it: &Answer| matches!(it, Answer::Value(it) if it.parse::<u64>().is_ok());
            assert!(is_number(&counted), "{counted:?}");
        }
    }
}
