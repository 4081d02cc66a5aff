//! Changes of messages that have no place for them.

use super::super::run;
use crate::fixture::{Fixture, settings};
use crate::schema::{Configured, Settings, SettingsCheck};

const CHANGED: &str = "  - name: hello\n    requestMutation: [{key: lane, value: 'to ${method}'}]";

fn said(settings: Settings) -> String {
    let fixture = Fixture::valid();
    fixture.edit("router.yaml", "  - name: hello", CHANGED);
    fixture.anonymous(&run(&fixture.paths(), settings).to_string())
}

#[test]
fn messages_that_carry_nothing_cannot_be_changed() {
    assert_eq!(said(settings()), "4 objects: 0 errors, 0 warnings");

    let mut closed = settings();
    closed.protocols.iter_mut().for_each(|it| it.open = false);
    let report = said(closed);
    assert!(
        report.contains(
            "error[NoPlace]: `lane` cannot be changed: messages of protocol dubbo carry no"
        ),
        "{report}"
    );
    assert!(report.contains("--> router.yaml:9:29"), "{report}");
}

#[test]
fn nor_can_those_that_settings_leave_without_a_header() {
    let mut settled = settings();
    settled.check = Some(SettingsCheck::new(|_, _| Ok(Configured { open: false })));
    let report = said(settled);
    assert!(
        report.contains("messages of dubbo, with the settings of its ApplicationProtocol,"),
        "{report}"
    );
}
