//! Whether the messages of a protocol have a place for what a route changes in them.

use super::protocols::schema;
use super::{Context, Findings, PortProtocol, SettingValue};
use crate::diagnostic::Code;
use crate::manifest::{MetaRouter, Object};

/// Says of each route that changes messages which carry nothing to be changed.
pub(super) fn check(
    object: &Object,
    router: &MetaRouter,
    protocol: &PortProtocol,
    context: &Context<'_>,
    findings: &mut Findings,
) {
    let changed = router.routes.iter().filter_map(|r| r.mutations().next());
    let changed: Vec<_> = changed.collect();
    if changed.is_empty() {
        return;
    }
    let Some(what) = without_place(protocol, context) else {
        return;
    };
    for mutation in changed {
        let message = format!(
            "`{}` cannot be changed: {what} carry no attachments or headers",
            mutation.key.value
        );
        let diagnostic = context.settings.of_protocols(Code::NoPlace, message);
        findings.at(object, mutation.key.at, diagnostic);
    }
}

/// Which messages have no place for other attributes. None: some have.
fn without_place(protocol: &PortProtocol, context: &Context<'_>) -> Option<String> {
    let plugin = &protocol.plugin;
    if !schema(context.settings, plugin)?.open {
        return Some(format!("messages of protocol {plugin}"));
    }
    let settings = context.protocols.settings(protocol);
    let told = settings.iter().filter_map(|setting| match &setting.value {
        SettingValue::Plain(value) => Some((setting.name.as_str(), value.as_str())),
        SettingValue::Secret(_) => None,
    });
    let told: Vec<_> = told.collect();
    let open = context.settings.check.as_ref()?.open(plugin, &told)?;
    (!open).then(|| {
        format!(
            "messages of {}, with the settings of its ApplicationProtocol,",
            protocol.application
        )
    })
}
